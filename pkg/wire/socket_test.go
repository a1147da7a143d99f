package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is both ends of a TCP connection: a socket and its peer.
func pipe(t *testing.T) (*socket, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	t.Cleanup(func() { client.Close() })
	conn, err := ln.Accept()
	must(t, err)
	s := newSocket(conn)
	t.Cleanup(func() { s.Close() })
	return s, client
}

func testPoller(t *testing.T) *poller {
	t.Helper()
	p, err := newPoller()
	must(t, err)
	t.Cleanup(p.close)
	return p
}

// parked is a connection without TLS that the test owns, and its other end.
func parked(t *testing.T, h Handler) (*incoming, net.Conn) {
	t.Helper()
	sock, client := pipe(t)
	s := &server{handler: h, ctx: t.Context(), poller: testPoller(t), open: map[*socket]struct{}{}, beating: map[Identity]*incoming{}, all: map[Identity][]*incoming{}}
	must(t, sock.park(s.poller))
	if !s.add(sock) {
		t.Fatal("not added")
	}
	in := &incoming{server: s, socket: sock, conn: sock}
	s.poller.enter(in)
	return in, client
}

// What the poller relies on: TLS keeps what it has of a record when there is nothing
// more to read yet, and goes on from there.
func TestTLSReadsOnAfterWaiting(t *testing.T) {
	n := newNetwork(t)
	sock, raw := pipe(t)
	slow := &hold{Conn: raw}
	client := tls.Client(slow, n.load(t, "server1").Client("server2"))
	server := tls.Server(sock, n.load(t, "server2").Server)
	shaken := make(chan error, 1)
	go func() { shaken <- client.Handshake() }()
	must(t, server.Handshake())
	must(t, <-shaken)
	must(t, sock.park(testPoller(t)))
	slow.on = true
	_, err := client.Write([]byte("beat"))
	must(t, err)
	got := make([]byte, 8)
	for i, b := range slow.held {
		if k, err := server.Read(got); k != 0 || !errors.Is(err, errWait) {
			t.Fatalf("after %d of %d bytes of a record: %d bytes and %v", i, len(slow.held), k, err)
		}
		_, err := raw.Write([]byte{b})
		must(t, err)
		within(t, patience, "the byte has arrived", func() bool {
			sock.begin()
			return awaitable(sock)
		})
	}
	k, err := server.Read(got)
	must(t, err)
	if string(got[:k]) != "beat" {
		t.Errorf("read %q", got[:k])
	}
}

// awaitable reports whether s has bytes, and leaves them there.
func awaitable(s *socket) bool {
	n, _, err := unix.Recvfrom(s.fd, make([]byte, 1), unix.MSG_PEEK)
	return err == nil && n > 0
}

// hold keeps what is written, once it is on.
type hold struct {
	net.Conn
	on   bool
	held []byte
}

func (h *hold) Write(b []byte) (int, error) {
	if !h.on {
		return h.Conn.Write(b)
	}
	h.held = append(h.held, b...)
	return len(b), nil
}

// Write never waits: what the kernel does not take is kept, in order, up to a limit.
func TestWriteKeepsWhatDoesNotFit(t *testing.T) {
	in, client := parked(t, newHost())
	polled := make(chan struct{})
	go func() {
		in.server.poller.run()
		close(polled)
	}()
	defer func() {
		in.server.poller.stop()
		<-polled
	}()
	must(t, in.socket.watch())
	var sent bytes.Buffer
	for i := range 48 {
		part := bytes.Repeat([]byte{byte(i)}, 64<<10)
		sent.Write(part)
		_, err := in.socket.Write(part)
		must(t, err)
	}
	got := make([]byte, sent.Len())
	must(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := io.ReadFull(client, got)
	must(t, err)
	if !bytes.Equal(got, sent.Bytes()) {
		t.Error("other bytes arrived than were sent")
	}
	within(t, patience, "nothing is kept any more", func() bool {
		in.socket.mu.Lock()
		defer in.socket.mu.Unlock()
		return in.socket.unsent == nil && in.socket.stall == nil
	})
	for err == nil {
		_, err = in.socket.Write(make([]byte, 256<<10))
	}
	if kept := in.socket.kept(); kept > maxUnsent {
		t.Errorf("%d bytes are kept for a peer that does not read", kept)
	}
	in.socket.end()
	in.server.work.Wait() // the poller has closed it
}

func TestShutSocketIsOfNoUse(t *testing.T) {
	in, _ := parked(t, newHost())
	in.socket.end()
	if _, err := in.socket.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := in.socket.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	must(t, in.socket.Close())
	in.socket.end() // by somebody who does not know yet: no other descriptor is shut
	must(t, in.socket.Close())
}

// Thousands of heartbeats a second are left to gather; a few never are, nor the first
// after a quiet time.
func TestPace(t *testing.T) {
	now, p := time.Now(), pace{}
	run := func(gap time.Duration) (pauses int) {
		for range 200 {
			now = now.Add(gap)
			if p.note(1, now) {
				pauses++
			}
		}
		return pauses
	}
	if got := run(time.Millisecond); got > 0 {
		t.Errorf("%d pauses at 1000 events a second", got)
	}
	if got := run(100 * time.Microsecond); got == 0 {
		t.Error("no pause at 10000 events a second")
	}
	if p.note(wakeBatch-1, now); !p.busy || p.note(wakeBatch, now) {
		t.Error("a pause after a full batch, with more there already")
	}
	now = now.Add(time.Second)
	if got := run(time.Millisecond); got > 0 {
		t.Errorf("%d pauses when it is quiet again", got)
	}
}
