package wire

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	testInterval = 20 * time.Millisecond
	testTimeout  = 200 * time.Millisecond
)

// linked runs a Link of server1 to server2 on addr. changed counts and is told.
func (n network) linked(t testing.TB, addr string, adjust func(*LinkConfig)) *Link {
	t.Helper()
	cfg := LinkConfig{
		Addr: addr, TLS: n.load(t, "server1").Client("server2"),
		Interval: testInterval, Timeout: testTimeout,
		Beat: func() (string, any) { return "", nil },
	}
	if adjust != nil {
		adjust(&cfg)
	}
	l := NewLink(cfg)
	background(t, l.Run)
	return l
}

func TestLinkStaysConnectedByHeartbeats(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	var changes atomic.Int32
	l := n.linked(t, n.serve(t, h), func(c *LinkConfig) { c.Changed = func() { changes.Add(1) } })
	within(t, 5*time.Second, "connected", func() bool { return l.State().Connected })
	for range 50 {
		<-h.beat
	}
	s := l.State()
	if age := Now() - s.LastHeard; !s.Connected || s.Refused || s.Error != "" || age > testTimeout {
		t.Errorf("after 50 heartbeats: %+v, heard %v ago", s, age)
	}
	if got := changes.Load(); got != 1 {
		t.Errorf("%d changes, want one: connected", got)
	}
}

func TestLinkReportsAndIsAnswered(t *testing.T) {
	n := newNetwork(t)
	answers := make(chan string, 100)
	l := n.linked(t, n.serve(t, newHost()), func(c *LinkConfig) {
		c.Interval, c.Timeout = time.Hour, 4*time.Hour // only kicks
		c.Beat = func() (string, any) { return KindReport, "well" }
		c.Answer = func(kind string, body json.RawMessage) { answers <- kind + string(body) }
	})
	for range 20 {
		if got := <-answers; got != `report"well"` {
			t.Fatalf("answer %s", got)
		}
		l.Kick()
	}
}

// A nudge makes the client report at once, not at the next interval.
func TestNewsMakesTheLinkReport(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	var pending atomic.Bool
	answered, quiet := make(chan struct{}, 10), make(chan struct{}, 1000)
	l := n.linked(t, n.serve(t, h), func(c *LinkConfig) {
		c.Interval, c.Timeout = 50*time.Millisecond, 100*time.Millisecond // every heartbeat asks
		c.Beat = func() (string, any) {
			if pending.Swap(false) {
				return KindReport, "here"
			}
			return "", nil
		}
		c.Heard = func(news bool) {
			if news {
				pending.Store(true)
			} else {
				offer(quiet, struct{}{})
			}
		}
		c.Answer = func(string, json.RawMessage) { answered <- struct{}{} }
	})
	<-quiet
	h.mu.Lock()
	h.news = true
	h.mu.Unlock()
	l.Kick()
	start := time.Now()
	<-answered
	if took := time.Since(start); took > 40*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// An unanswered report must hold up neither heartbeats nor calls.
func TestLinkBeatsWhileAReportWaits(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	asked := atomic.Int32{}
	l := n.linked(t, n.serve(t, h), func(c *LinkConfig) {
		c.Beat = func() (string, any) { asked.Add(1); return "wait", "" } // runs beside the heartbeats
	})
	for range 20 {
		<-h.beat
	}
	must(t, l.Call(t.Context(), "nothing", nil, nil))
	if got := asked.Load(); got != 1 {
		t.Errorf("Beat was asked %d times while its report was outstanding", got)
	}
	l.Kick()
	l.Kick()
	close(h.block)
	within(t, 5*time.Second, "asked again", func() bool { return asked.Load() > 1 })
}

func TestCallWithoutConnection(t *testing.T) {
	n := newNetwork(t)
	l := n.linked(t, freeAddr(t), nil)
	within(t, 5*time.Second, "refused", func() bool { return l.State().Refused })
	if err := l.Call(t.Context(), "who", nil, nil); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestACallWaitsForTheFirstConnection(t *testing.T) {
	n := newNetwork(t)
	for range 20 {
		must(t, n.linked(t, n.serve(t, newHost()), nil).Call(t.Context(), "nothing", nil, nil))
	}
	if err := n.linked(t, freeAddr(t), nil).Call(t.Context(), "nothing", nil, nil); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("nobody listens, and it is %v", err)
	}
}

// The kernel tells of a killed process; no timeout is waited for.
func TestKilledPeerIsNoticedAtOnce(t *testing.T) {
	n := newNetwork(t)
	addr := freeAddr(t)
	child := n.child(t, addr)
	changed := make(chan time.Time, 100)
	l := n.linked(t, addr, func(c *LinkConfig) {
		c.Interval, c.Timeout = 250*time.Millisecond, 2*time.Second
		c.Changed = func() { offer(changed, time.Now()) }
	})
	within(t, 10*time.Second, "connected", func() bool { return l.State().Connected })
	waiting := make(chan error, 1)
	go func() { waiting <- l.Call(t.Context(), "wait", nil, nil) }()
	time.Sleep(20 * time.Millisecond)
	for len(changed) > 0 {
		<-changed
	}
	killed := time.Now()
	must(t, child.Process.Kill())
	lost := (<-changed).Sub(killed)
	within(t, time.Second, "refused", func() bool { s := l.State(); return s.Refused && !s.Connected })
	refused := time.Since(killed)
	t.Logf("killed: told after %v, known as refused after %v", lost, refused)
	if lost > 500*time.Millisecond || refused > 500*time.Millisecond {
		t.Errorf("told after %v, refused after %v", lost, refused)
	}
	if err := <-waiting; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("the call that waited got %v", err)
	}
	n.child(t, addr)
	back := within(t, 10*time.Second, "connected again", func() bool { return l.State().Connected })
	t.Logf("connected %v after the new process was started", back)
}

// A frozen process keeps its connections and even gets new ones from the kernel.
func TestFrozenPeerIsLostAfterTimeout(t *testing.T) {
	n := newNetwork(t)
	addr := freeAddr(t)
	child := n.child(t, addr)
	l := n.linked(t, addr, nil)
	within(t, 10*time.Second, "connected", func() bool { return l.State().Connected })
	must(t, child.Process.Signal(syscall.SIGSTOP))
	took := within(t, 5*time.Second, "lost", func() bool { return !l.State().Connected })
	t.Logf("frozen: lost after %v with a timeout of %v", took, testTimeout)
	if took > 2*testTimeout {
		t.Errorf("noticed after %v", took)
	}
	for end := time.Now().Add(3 * testTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s := l.State(); s.Connected || s.Refused {
			t.Fatalf("a frozen peer is %+v", s)
		}
	}
	must(t, child.Process.Signal(syscall.SIGCONT))
	within(t, 5*time.Second, "connected again", func() bool { return l.State().Connected })
}

func TestSilentListenerIsNotConnected(t *testing.T) {
	n := newNetwork(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody else
	must(t, err)
	defer ln.Close()
	l := n.linked(t, ln.Addr().String(), nil)
	within(t, 5*time.Second, "an error", func() bool { return l.State().Error != "" })
	if s := l.State(); s.Connected || s.Refused {
		t.Errorf("%+v", s)
	}
}

// A link that the other side turns away must not hammer it.
func TestRejectedLinkPauses(t *testing.T) {
	n, strangers := newNetwork(t), newNetwork(t)
	addr := n.serve(t, newHost())
	var dials atomic.Int32
	l := strangers.linked(t, addr, func(c *LinkConfig) {
		c.TLS.InsecureSkipVerify = true
		c.TLS.VerifyConnection = nil // so that the server's judgement is what counts
		c.Changed = func() { dials.Add(1) }
	})
	time.Sleep(10 * testInterval)
	s := l.State()
	if s.Connected || s.Error == "" || dials.Load() > 3 {
		t.Errorf("%+v after %d changes", s, dials.Load())
	}
	t.Logf("the client reads: %s", s.Error)
}

func TestLinkEndsWithItsContext(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	l := NewLink(LinkConfig{
		Addr: addr, TLS: n.load(t, "server1").Client("server2"), Interval: time.Hour, Timeout: 4 * time.Hour,
		Beat: func() (string, any) { return "", nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	within(t, 5*time.Second, "connected", func() bool { return l.State().Connected })
	cancel()
	must(t, <-done)
	if l.State().Connected {
		t.Error("still connected")
	}
}

func TestNowNeverGoesBack(t *testing.T) {
	was := Now()
	for range 1000 {
		is := Now()
		if is < was {
			t.Fatalf("%v after %v", is, was)
		}
		was = is
	}
}
