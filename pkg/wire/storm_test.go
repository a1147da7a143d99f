package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// Who connects and says nothing, or only the beginning, keeps nobody out.
func TestStrangersAndHandshakes(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	hello := n.hello(t)
	for _, part := range []int{0, 1, helloHead, len(hello) - 1} {
		strangers(t, addr, "127.0.0.1", 2*maxHandshakes, hello[:part])
	}
	must(t, attempt(t, addr, n.load(t, "server1").Client("server2")))
	for what, bytes := range map[string][]byte{"another protocol": []byte("GET /"), "too long a record": {helloType, 3, 1, 0xff, 0xff}} {
		c := strangers(t, addr, "127.0.0.1", 1, bytes)[0]
		must(t, c.SetReadDeadline(time.Now().Add(helloTimeout/2)))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s is waited for", what)
		}
	}
}

// Those who begin a handshake and stop keep out whoever comes from their own address, who
// is sent away, not kept; and that only for a while.
func TestStuckHandshakesKeepOutTheirAddressOnly(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	config := n.load(t, "server1").Client("server2")
	strangers(t, addr, "127.0.0.2", maxHandshakes, n.hello(t))
	start := time.Now()
	c := strangers(t, addr, "127.0.0.2", 1, n.hello(t))[0]
	must(t, c.SetReadDeadline(start.Add(handshakeTimeout)))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("more handshakes of one address than the limit: %v", err)
	}
	if took := time.Since(start); took < queueTimeout {
		t.Errorf("sent away after %v", took)
	}
	must(t, attempt(t, addr, config))
	within(t, 3*handshakeTimeout, "let in", func() bool {
		c := strangers(t, addr, "127.0.0.2", 1, n.hello(t))[0]
		defer c.Close()
		must(t, c.SetReadDeadline(time.Now().Add(2*queueTimeout)))
		_, err := c.Read(make([]byte, 1))
		return err == nil
	})
}

// A turn is given back, and nothing is remembered of who has gone.
func TestTurns(t *testing.T) {
	turns, one := newTurns(), netip.MustParsePrefix("192.0.2.1/32")
	ends := []func(){}
	for range maxFromOne {
		done, err := turns.take(t.Context(), one)
		must(t, err)
		ends = append(ends, done)
	}
	if _, err := turns.take(t.Context(), one); !errors.Is(err, errCrowd) {
		t.Errorf("one too many: %v", err)
	}
	time.AfterFunc(queueTimeout/3, ends[0])
	done, err := turns.take(t.Context(), one)
	must(t, err)
	for _, done := range append(ends[1:], done) {
		done()
	}
	if len(turns.of)+len(turns.all) > 0 {
		t.Errorf("left are %d turns of %d addresses", len(turns.all), len(turns.of))
	}
}

func TestOriginOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8::1:2:3:4": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := originOf(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))); got.String() != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// hello is the first record of a handshake.
func (n network) hello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	go func() { _ = tls.Client(here, n.load(t, "server1").Client("server2")).Handshake() }() // ends with there
	b := make([]byte, maxHello)
	k, err := there.Read(b)
	must(t, err)
	return b[:k]
}

// strangers connect, say bytes, and nothing more until the test ends.
func strangers(t *testing.T, addr, from string, count int, bytes []byte) []net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conns := make([]net.Conn, count)
	for i := range conns {
		var err error
		conns[i], err = dialer.Dial("tcp", addr)
		must(t, err)
		t.Cleanup(func() { conns[i].Close() })
		_, err = conns[i].Write(bytes)
		must(t, err)
	}
	time.Sleep(100 * time.Millisecond)
	return conns
}

// After a restart everybody comes back at once, and everybody gets in.
func TestReconnectStormSettles(t *testing.T) {
	n := newNetwork(t)
	addr := freeAddr(t)
	base := n.load(t, "server1").Client("server2")
	base.ClientSessionCache = nil // a restarted server knows no sessions
	const links = 300
	all := make([]*Link, links)
	for i := range all {
		config := base.Clone()
		show(config, n.leaf(t, func(c *x509.Certificate) { c.URIs[0].Path = fmt.Sprintf("/s%d", i) }))
		all[i] = NewLink(LinkConfig{
			Addr: addr, TLS: config, Interval: 250 * time.Millisecond, Timeout: 800 * time.Millisecond,
			Beat: func() (string, any) { return "", nil },
		})
		background(t, all[i].Run)
	}
	time.Sleep(time.Second)
	ln, err := ListenTLS(addr, n.load(t, "server2").Server)
	must(t, err)
	background(t, func(ctx context.Context) error { return Serve(ctx, ln, newHost()) })
	took := within(t, 20*time.Second, "all connected", func() bool {
		time.Sleep(50 * time.Millisecond)
		return !slices.ContainsFunc(all, func(l *Link) bool { return !l.State().Connected })
	})
	t.Logf("%d links are back after %v", links, took)
}
