package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
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
	start := time.Now()
	for time.Since(start) < 20*time.Second {
		up := 0
		for _, l := range all {
			if l.State().Connected {
				up++
			}
		}
		t.Logf("%v: %d", time.Since(start).Round(10*time.Millisecond), up)
		if up == links {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Error("not settled")
}
