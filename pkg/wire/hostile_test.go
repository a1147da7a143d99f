package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostile is a member of a pair that has its certificate and behaves badly.
type hostile struct {
	*tls.Conn
	raw *hold
}

func (n network) hostile(t *testing.T, addr, name string) hostile {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { raw.Close() })
	config := n.load(t, "server1").Client("server2")
	show(config, n.leaf(t, func(c *x509.Certificate) { c.URIs[0].Path = "/" + name }))
	held := &hold{Conn: raw}
	c := tls.Client(held, config)
	must(t, c.Handshake())
	return hostile{Conn: c, raw: held}
}

// record is b as it would go over the wire.
func (h hostile) record(t *testing.T, b []byte) []byte {
	t.Helper()
	h.raw.on = true
	defer func() { h.raw.on, h.raw.held = false, nil }()
	_, err := h.Write(b)
	must(t, err)
	return h.raw.held
}

func request(kind, body string) []byte {
	text := fmt.Sprintf(`{"id":1,"kind":%q,"body":%q}`, kind, body)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// badly is what a peer may do to hold up the others. It goes on until its
// connection ends.
func badly(t *testing.T) map[string]func(h hostile) error {
	asks := slices.Repeat(binary.BigEndian.AppendUint32(nil, asking), 1000)
	trickle := func(h hostile, b []byte) error {
		for _, one := range b {
			if _, err := h.raw.Conn.Write([]byte{one}); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	return map[string]func(h hostile) error{
		"one byte at a time": func(h hostile) error { return trickle(h, h.record(t, request("echo", "slow"))) },
		"half a record": func(h hostile) error {
			b := h.record(t, make([]byte, wordSize))
			return trickle(h, b[:len(b)/2])
		},
		"half a word": func(h hostile) error { _, err := h.Write([]byte{0, 0}); return err },
		"half a frame": func(h hostile) error {
			_, err := h.Write(request("echo", "half")[:12])
			return err
		},
		"a claim": func(h hostile) error {
			_, err := h.Write(binary.BigEndian.AppendUint32(nil, maxFrame))
			return err
		},
		"asks and never reads": func(h hostile) (err error) {
			for err == nil {
				_, err = h.Write(asks)
			}
			return nil
		},
		"wants much and never reads": func(h hostile) (err error) {
			for err == nil {
				_, err = h.Write(request("echo", strings.Repeat("x", maxFrame/2)))
			}
			return nil
		},
	}
}

// However somebody behaves who was let in, the others are heard and answered.
func TestBadPeersHoldUpNobody(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	good := n.dial(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bad := make(chan error, 100)
	all := badly(t)
	for name, behave := range all {
		h := n.hostile(t, addr, "bad")
		go func() {
			if err := behave(h); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				bad <- err
				return
			}
			bad <- nil
		}()
	}
	worst := time.Duration(0)
	answer := func() {
		start, want, got := time.Now(), strings.Repeat("y", 1000), ""
		must(t, good.Call(ctx, "echo", want, &got))
		if got != want {
			t.Fatal("another answer than it should be")
		}
		worst = max(worst, time.Since(start))
	}
	for left := len(all); left > 0; {
		select {
		case err := <-bad:
			left--
			if err != nil {
				t.Error(err)
			}
		default:
			answer()
		}
	}
	answer()
	t.Logf("the slowest answer took %v", worst)
}

// A slow frame is a whole frame in the end, also when it comes in pieces that are
// neither records nor frames.
func TestFrameInPieces(t *testing.T) {
	n := newNetwork(t)
	h := n.hostile(t, n.serve(t, newHost()), "server1")
	wire := h.record(t, append(make([]byte, wordSize), request("echo", "piecemeal")...))
	for len(wire) > 0 {
		k := min(7, len(wire))
		_, err := h.raw.Conn.Write(wire[:k])
		must(t, err)
		wire = wire[k:]
		time.Sleep(time.Millisecond)
	}
	must(t, h.SetReadDeadline(time.Now().Add(10*time.Second)))
	word, err := readWord(h, make([]byte, wordSize))
	must(t, err)
	e, err := readEnvelope(h, word)
	must(t, err)
	if string(e.Body) != `"piecemeal"` {
		t.Errorf("answered %s, %s", e.Body, e.Error)
	}
}

// The end of a parked connection is noticed, by farewell and without; and when many
// end at once, nothing of them remains.
func TestManyEndAtOnce(t *testing.T) {
	n, h := newNetwork(t), newHost()
	ln, err := ListenTLS("127.0.0.1:0", n.load(t, "server2").Server)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	files, before := openFiles(t), runtime.NumGoroutine()
	go func() { done <- Serve(ctx, ln, h) }()
	const count = 150
	conns := make([]hostile, count)
	for i := range conns {
		conns[i] = n.hostile(t, ln.Addr().String(), fmt.Sprintf("s%d", i))
		_, err := conns[i].Write(make([]byte, wordSize))
		must(t, err)
	}
	within(t, 20*time.Second, "all are heard", func() bool { return len(h.beat) == count })
	within(t, 20*time.Second, "no connection has a goroutine", func() bool { return runtime.NumGoroutine() < before+10 })
	for i, c := range conns {
		switch i % 3 {
		case 0:
			c.Close() // TLS says farewell
		case 1:
			c.raw.Close()
		default:
			must(t, c.raw.Conn.(*net.TCPConn).SetLinger(0))
			c.raw.Close() // a reset
		}
	}
	within(t, 20*time.Second, "all are gone", func() bool { return len(h.gone) == count })
	cancel()
	must(t, <-done)
	within(t, 20*time.Second, "no descriptor is left open", func() bool { return openFiles(t) < files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// Reports, requests, heartbeats, newer connections and ends of all kinds, crossing
// each other: each connection has one owner at any time (run it with -race).
func TestConnectionsComeAndGo(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	config := n.load(t, "server1").Client("server2")
	ends := make(chan error, 4)
	for g := range cap(ends) {
		go func() { ends <- comeAndGo(t, addr, config, g) }()
	}
	for range cap(ends) {
		must(t, <-ends)
	}
	must(t, attempt(t, addr, config))
}

// comeAndGo connects again and again. That a connection is lost is in order: they
// all have one name, and displace each other.
func comeAndGo(t *testing.T, addr string, config *tls.Config, g int) error {
	for i := range 25 {
		c, err := Dial(t.Context(), "tcp", addr, config)
		if err != nil {
			return err
		}
		for k := range 20 {
			_ = c.write(binary.BigEndian.AppendUint32(nil, asking*uint32(k%2)))
			_, _ = c.send(KindReport, i, func(envelope) {})
			err := c.Call(t.Context(), "echo", k, nil)
			if err != nil && !errors.Is(err, ErrNoAnswer) {
				return err
			}
			if (g+i+k)%7 == 6 {
				_, _ = c.send("echo", k, func(envelope) {})
				break
			}
		}
		c.Close()
	}
	return nil
}

// An answer that nobody reads ends its connection after a while, without a limit on
// its size being reached.
func TestUnreadAnswerEndsItsConnection(t *testing.T) {
	in, client := parked(t, newHost())
	must(t, client.(*net.TCPConn).SetReadBuffer(4<<10))
	polled := make(chan struct{})
	go func() {
		in.server.poller.run()
		close(polled)
	}()
	must(t, in.socket.watch())
	for in.socket.kept() == 0 {
		_, err := in.socket.Write(make([]byte, 256<<10))
		must(t, err)
	}
	start := time.Now()
	in.server.work.Wait() // the poller has closed it
	if took := time.Since(start); took < answerTimeout/2 {
		t.Errorf("ended after %v already", took)
	}
	in.server.poller.stop()
	<-polled
}

// A frame that is never finished ends its connection, and one that is finished does not:
// the next one has as long again.
func TestUnfinishedFrameEndsItsConnection(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	quiet := n.dial(t, addr)
	claims := n.hostile(t, addr, "bad")
	_, err := claims.Write(append(binary.BigEndian.AppendUint32(nil, maxFrame), make([]byte, maxFrame-1)...))
	must(t, err)
	start := time.Now()
	must(t, claims.SetReadDeadline(start.Add(3*answerTimeout)))
	if _, err := claims.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it lives on: %v", err)
	}
	if took := time.Since(start); took < answerTimeout/2 {
		t.Errorf("ended after %v already", took)
	}
	must(t, quiet.Call(t.Context(), "nothing", nil, nil))

	in, client := parked(t, newHost())
	for _, next := range [][]byte{{0, 0}, {0, 0, 0, 0}, {0, 0}} {
		_, err := client.Write(next)
		must(t, err)
		in.ready(reading, Now())
		if half := in.got > 0; half != (in.late != nil) {
			t.Errorf("half a frame is there: %v, its end is awaited: %v", half, in.late != nil)
		}
	}
}

// However many connections a member leaves open, a few are held: the newest, and that
// with the heartbeats.
func TestAMemberHasFewConnections(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	addr := n.serve(t, h)
	other := n.hostile(t, addr, "other")
	beating := n.dial(t, addr)
	must(t, beating.write(make([]byte, wordSize)))
	<-h.beat
	asking := make([]*Conn, 3*maxEach)
	for i := range asking {
		asking[i] = n.dial(t, addr)
		must(t, asking[i].Call(t.Context(), "nothing", nil, nil)) // who has just come is heard
	}
	held := maxEach - 1
	for _, c := range asking[:len(asking)-held] {
		select {
		case <-c.done:
		case <-time.After(10 * time.Second):
			t.Fatal("an old connection is still held")
		}
	}
	for _, c := range append(asking[len(asking)-held:], beating) {
		must(t, c.Call(t.Context(), "nothing", nil, nil))
	}
	_, err := other.Write(request("echo", "still here"))
	must(t, err)
	_, err = readWord(other, make([]byte, wordSize))
	must(t, err)
}

// Of connections that have ended nothing is kept.
func TestJoinAndPart(t *testing.T) {
	s := &server{beating: map[Identity]*incoming{}, all: map[Identity][]*incoming{}}
	come := func(name string) *incoming {
		in := &incoming{from: Identity{Pair: "lab", Name: name}, socket: &socket{fd: -1}}
		s.join(in)
		return in
	}
	all := []*incoming{come("server1")}
	s.adopt(all[0])
	for range 2 * maxEach {
		all = append(all, come("server1"), come("server2"))
	}
	for _, in := range all {
		s.part(in)
	}
	if len(s.all) > 0 {
		t.Errorf("left are %v", s.all)
	}
}

func (s *socket) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unsent)
}
