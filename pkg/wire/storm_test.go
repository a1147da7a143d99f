package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"
)

// After a restart everybody comes back at once. A server that shook hands with all
// of them together would finish with none before they give up.
func TestReconnectStormSettles(t *testing.T) {
	n := newNetwork(t)
	addr := freeAddr(t)
	base := n.load(t, "server1").Client("server2")
	base.ClientSessionCache = nil // a restarted server knows no sessions
	const links = 2000
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
