package wire

import (
	"context"
	"crypto/tls"
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
	// No test waits for the end of testTimeout; shortTimeout is for those that do. A busy
	// machine may hold a process up for longer than the short one.
	testTimeout  = 20 * time.Second
	shortTimeout = 200 * time.Millisecond
	// patience is far above what anything takes, also where the machine is busy.
	patience = 30 * time.Second
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

// Without a sign of life a connection ends after its timeout. One that the machine held
// up for as long ends too: then the next one counts.
func TestLinkStaysConnectedByHeartbeats(t *testing.T) {
	n := newNetwork(t)
	var changed atomic.Int64
	changed.Store(int64(Now()))
	l := n.linked(t, n.serve(t, newHost()), func(c *LinkConfig) {
		c.Timeout = shortTimeout
		c.Changed = func() { changed.Store(int64(Now())) }
	})
	within(t, patience, "heard for five timeouts without a change", func() bool {
		s := l.State()
		return s.Connected && !s.Refused && s.Error == "" && s.LastHeard-time.Duration(changed.Load()) > 5*shortTimeout
	})
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
		c.Interval, c.Timeout = time.Hour, 4*time.Hour
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
	within(t, patience, "an answer", func() bool { return len(answered) > 0 })
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
	within(t, patience, "asked again", func() bool { return asked.Load() > 1 })
}

func TestCallWithoutConnection(t *testing.T) {
	n := newNetwork(t)
	l := n.linked(t, freeAddr(t), nil)
	within(t, patience, "refused", func() bool { return l.State().Refused })
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
		c.Interval, c.Timeout = 250*time.Millisecond, 2*patience
		c.Changed = func() { offer(changed, time.Now()) }
	})
	within(t, patience, "connected", func() bool { return l.State().Connected })
	waiting := make(chan error, 1)
	go func() { waiting <- l.Call(t.Context(), "wait", nil, nil) }()
	time.Sleep(20 * time.Millisecond)
	for len(changed) > 0 {
		<-changed
	}
	killed := time.Now()
	must(t, child.Process.Kill())
	lost := (<-changed).Sub(killed)
	within(t, patience, "refused", func() bool { s := l.State(); return s.Refused && !s.Connected })
	t.Logf("killed: told after %v, known as refused after %v", lost, time.Since(killed))
	if lost > patience {
		t.Errorf("told after %v", lost)
	}
	if err := <-waiting; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("the call that waited got %v", err)
	}
	n.child(t, addr)
	back := within(t, patience, "connected again", func() bool { return l.State().Connected })
	t.Logf("connected %v after the new process was started", back)
}

// A frozen process keeps its connections and even gets new ones from the kernel.
func TestFrozenPeerIsLostAfterTimeout(t *testing.T) {
	n := newNetwork(t)
	addr := freeAddr(t)
	child := n.child(t, addr)
	l := n.linked(t, addr, func(c *LinkConfig) { c.Timeout = shortTimeout })
	within(t, patience, "connected", func() bool { return l.State().Connected })
	freeze(t, child)
	took := within(t, patience, "lost", func() bool { return !l.State().Connected })
	t.Logf("frozen: lost after %v with a timeout of %v", took, shortTimeout)
	for end := time.Now().Add(3 * shortTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s := l.State(); s.Connected || s.Refused {
			t.Fatalf("a frozen peer is %+v", s)
		}
	}
	must(t, child.Process.Signal(syscall.SIGCONT))
	within(t, patience, "connected again", func() bool { return l.State().Connected })
}

func TestSilentListenerIsNotConnected(t *testing.T) {
	n := newNetwork(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody else
	must(t, err)
	defer ln.Close()
	l := n.linked(t, ln.Addr().String(), func(c *LinkConfig) { c.Timeout = shortTimeout })
	within(t, patience, "an error", func() bool { return l.State().Error != "" })
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
		// Nothing is judged here, so that the server's judgement is what counts.
		c.TLS.VerifyConnection = func(tls.ConnectionState) error { dials.Add(1); return nil }
	})
	within(t, patience, "turned away", func() bool { return l.State().Error != "" })
	began, before := time.Now(), dials.Load()
	time.Sleep(10 * testInterval)
	s, more := l.State(), int(dials.Load()-before)
	if s.Connected || s.Error == "" || more > 1+int(time.Since(began)/testInterval) {
		t.Errorf("%+v, and %d more attempts within %v", s, more, time.Since(began))
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
	within(t, patience, "connected", func() bool { return l.State().Connected })
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
