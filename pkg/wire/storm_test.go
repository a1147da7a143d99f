package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"
)

// Connections that say nothing keep nobody out; those that begin a handshake and stop
// are given their turn, and who waits for it too long is sent away, not kept.
func TestStrangersAndHandshakes(t *testing.T) {
	n := newNetwork(t)
	addr := n.serve(t, newHost())
	config := n.load(t, "server1").Client("server2")
	open := func(count int, bytes []byte) (closeAll func()) {
		conns := make([]net.Conn, count)
		for i := range conns {
			var err error
			conns[i], err = net.Dial("tcp", addr)
			must(t, err)
			_, err = conns[i].Write(bytes)
			must(t, err)
		}
		time.Sleep(100 * time.Millisecond)
		return func() {
			for _, c := range conns {
				c.Close()
			}
		}
	}
	closeSilent := open(2*maxHandshakes, nil)
	defer closeSilent()
	must(t, attempt(t, addr, config))
	closeStuck := open(maxHandshakes, []byte{22}) // the first byte of a handshake
	start := time.Now()
	if err := attempt(t, addr, config); err == nil {
		t.Error("more handshakes than the limit")
	}
	if took := time.Since(start); took < queueTimeout || took > handshakeTimeout {
		t.Errorf("sent away after %v", took)
	}
	closeStuck()
	within(t, 5*time.Second, "let in", func() bool { return attempt(t, addr, config) == nil })
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
		config.Certificates = []tls.Certificate{n.leaf(t, func(c *x509.Certificate) { c.URIs[0].Path = fmt.Sprintf("/s%d", i) })}
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
