package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/record"
)

func TestCallRoundTrips(t *testing.T) {
	n := newNetwork(t)
	c := n.dial(t, n.serve(t, newHost()))
	var who Identity
	must(t, c.Call(t.Context(), "who", nil, &who))
	if who != (Identity{Pair: "lab", Name: "server1"}) {
		t.Errorf("the server takes us for %v", who)
	}
	want, got := record.First("lab", "server1"), record.Record{}
	must(t, c.Call(t.Context(), "echo", want, &got))
	if got != want {
		t.Errorf("echo of %v is %v", want, got)
	}
	must(t, c.Call(t.Context(), "nothing", nil, &got))
}

// What the other side says must not be mistaken for one another.
func TestErrorsKeepTheirKind(t *testing.T) {
	n := newNetwork(t)
	c := n.dial(t, n.serve(t, newHost()))
	kinds := []error{record.ErrConflict, ErrRefused, ErrNoAnswer}
	for kind, want := range map[string]error{"conflict": record.ErrConflict, "refuse": ErrRefused, "lost": ErrNoAnswer, "break": nil, "huge": nil} {
		err := c.Call(t.Context(), kind, nil, nil)
		var remote *RemoteError
		if !errors.As(err, &remote) {
			t.Errorf("%s: %v is not a RemoteError", kind, err)
		}
		for _, k := range kinds {
			if errors.Is(err, k) != (k == want) {
				t.Errorf("%s: errors.Is(%q, %q) = %v", kind, err, k, k != want)
			}
		}
	}
	if err := c.Call(t.Context(), "break", nil, nil); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("the reason got lost: %v", err)
	}
}

func TestManyCallsShareAConnection(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	c := n.dial(t, n.serve(t, h))
	slow := make(chan error, 1)
	go func() { slow <- c.Call(t.Context(), "wait", nil, nil) }()
	var calls sync.WaitGroup
	for g := range maxCalls {
		calls.Go(func() {
			for i := range 50 {
				want, got := fmt.Sprint(g, strings.Repeat("x", i*100)), ""
				if err := c.Call(t.Context(), "echo", want, &got); err != nil || got != want {
					t.Errorf("call %d of %d: %v", i, g, err)
				}
			}
		})
	}
	calls.Wait()
	close(h.block)
	must(t, <-slow)
}

func TestTooManyAtOnceAreRefused(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	c := n.dial(t, n.serve(t, h))
	got := make(chan error, maxConcurrent+1)
	for range maxConcurrent + 1 {
		go func() { got <- c.Call(t.Context(), "wait", nil, nil) }()
	}
	if err := <-got; !errors.Is(err, ErrRefused) {
		t.Errorf("one too many: %v", err)
	}
	close(h.block)
	for range maxConcurrent {
		must(t, <-got)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	n := newNetwork(t)
	c := n.dial(t, n.serve(t, newHost()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "wait", nil, nil); !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	must(t, c.Call(t.Context(), "nothing", nil, nil)) // the connection lives on
}

func TestReportsAreHandledInOrder(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	c := n.dial(t, n.serve(t, h))
	answered := make(chan struct{}, 200)
	for i := range cap(answered) {
		_, err := c.send(KindReport, i, func(envelope) { answered <- struct{}{} })
		must(t, err)
	}
	for range cap(answered) {
		<-answered
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, e := range h.events {
		if e != fmt.Sprint(KindReport, i) {
			t.Fatalf("event %d is %s", i, e)
		}
	}
}

// Gone belongs to the connection with the heartbeats, not to one that only asks.
func TestGoneIsOfTheBeatingConnection(t *testing.T) {
	n := newNetwork(t)
	h := newHost()
	addr := n.serve(t, h)
	beating, asking := n.dial(t, addr), n.dial(t, addr)
	must(t, beating.write(make([]byte, wordSize)))
	<-h.beat
	must(t, asking.Call(t.Context(), "nothing", nil, nil))
	asking.Close()
	newer := n.dial(t, addr)
	must(t, newer.write(make([]byte, wordSize)))
	<-h.beat
	<-beating.done // superseded
	select {
	case <-h.gone:
		t.Error("gone although a connection still carries heartbeats")
	case <-time.After(50 * time.Millisecond):
	}
	newer.Close()
	if who := <-h.gone; who.Name != "server1" {
		t.Errorf("gone: %v", who)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	n := newNetwork(t)
	ln, err := ListenTLS("127.0.0.1:0", n.load(t, "server2").Server)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Serve(ctx, ln, newHost()) }()
	c := n.dial(t, ln.Addr().String())
	waits := make(chan error)
	go func() { waits <- c.Call(t.Context(), "wait", nil, nil) }()
	silent, err := net.Dial("tcp", ln.Addr().String()) // never shakes hands
	must(t, err)
	defer silent.Close()
	time.Sleep(20 * time.Millisecond)
	cancel()
	must(t, <-done)
	if err := <-waits; err == nil {
		t.Error("a call was answered by a server that ended")
	}
}

// Bytes that are no frames end their own connection and nothing else.
func TestNonsenseEndsItsConnection(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	other := n.dial(t, addr)
	config := n.load(t, "server1").Client("server2")
	for name, bytes := range map[string][]byte{
		"oversized": binary.BigEndian.AppendUint32(nil, maxFrame+1),
		"no JSON":   append(binary.BigEndian.AppendUint32(nil, 3), "{]}"...),
		"all ones":  {0xff, 0xff, 0xff, 0xff},
	} {
		conn, err := tls.Dial("tcp", addr, config)
		must(t, err)
		_, err = conn.Write(bytes)
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
	plain, err := net.Dial("tcp", addr)
	must(t, err)
	defer plain.Close()
	_, err = plain.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	must(t, err)
	must(t, plain.SetReadDeadline(time.Now().Add(time.Second)))
	if _, err := io.ReadAll(plain); errors.Is(err, context.DeadlineExceeded) {
		t.Error("plain text was not turned away")
	}
	must(t, other.Call(t.Context(), "nothing", nil, nil))
}

func TestOversizedRequestIsNotSent(t *testing.T) {
	n := newNetwork(t)
	c := n.dial(t, n.serve(t, newHost()))
	if err := c.Call(t.Context(), "echo", strings.Repeat("x", maxFrame), nil); err == nil {
		t.Error("a request that no frame can hold was sent")
	}
	must(t, c.Call(t.Context(), "nothing", nil, nil))
}

func TestDialRefused(t *testing.T) {
	n := newNetwork(t)
	_, err := Dial(t.Context(), "tcp", freeAddr(t), n.load(t, "server1").Client("server2"))
	if !errors.Is(err, ErrNoAnswer) || !isRefused(err) {
		t.Errorf("got %v", err)
	}
}

// Heartbeats cost the server no memory.
func TestBeatAllocatesNothing(t *testing.T) {
	in, client := parked(t, newHost())
	word := binary.BigEndian.AppendUint32(nil, asking)
	if got := testing.AllocsPerRun(1000, func() {
		_, err := client.Write(word)
		must(t, err)
		in.ready(reading, Now())
		_, err = client.Read(word[:wordSize])
		must(t, err)
		binary.BigEndian.PutUint32(word, asking)
	}); got > 0 {
		t.Errorf("%v allocations a heartbeat", got)
	}
}
