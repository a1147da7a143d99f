package arbiter

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// switchboard is the network between the members of an etcd and those who ask them:
// each way can be cut by itself. What was sent then arrives when it is mended.
type switchboard struct {
	t      *testing.T
	mu     sync.Mutex
	cuts   map[[2]string]bool
	closed bool
	ends   []io.Closer
}

func newSwitchboard(t *testing.T) *switchboard {
	b := &switchboard{t: t, cuts: map[[2]string]bool{}}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.closed = true
		for _, end := range b.ends {
			_ = end.Close()
		}
	})
	return b
}

// set cuts or mends both ways between two.
func (b *switchboard) set(cut bool, one, two string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cuts[[2]string{one, two}], b.cuts[[2]string{two, one}] = cut, cut
}

func (b *switchboard) passes(from, to string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || !b.cuts[[2]string{from, to}]
}

func (b *switchboard) keep(end io.Closer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, end)
}

// way is an address that leads to another one; who tells who is calling.
func (b *switchboard) way(to, addr string, who func(net.Conn) string) string {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b.t, err)
	b.keep(l)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			b.keep(in)
			go b.join(in, who(in), to, addr)
		}
	}()
	return l.Addr().String()
}

func (b *switchboard) join(in net.Conn, from, to, addr string) {
	b.await(from, to)
	out, err := net.Dial("tcp", addr)
	if err != nil {
		_ = in.Close()
		return
	}
	b.keep(out)
	go b.carry(in, out, from, to)
	b.carry(out, in, to, from)
}

func (b *switchboard) await(from, to string) {
	for !b.passes(from, to) {
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *switchboard) carry(in, out net.Conn, from, to string) {
	defer func() { _ = out.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		b.await(from, to)
		if _, bad := out.Write(buffer[:n]); err != nil || bad != nil {
			return
		}
	}
}

// between has the members call each other over the board. All of them must know a member
// by one address, so who calls is told by whose socket it is.
func (c *etcdCluster) between(b *switchboard) {
	for i, listens := range c.listens {
		c.peers[i] = b.way(memberName(i), listens, func(in net.Conn) string { return c.ownerOf(in.RemoteAddr()) })
	}
}

// ownerOf is the member whose socket has that local address.
func (c *etcdCluster) ownerOf(local net.Addr) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		c.Error(err)
		return ""
	}
	port := strings.ToUpper(hex.EncodeToString([]byte{byte(local.(*net.TCPAddr).Port >> 8), byte(local.(*net.TCPAddr).Port)}))
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && f[1] == "0100007F:"+port {
			return c.holderOf("socket:[" + f[9] + "]")
		}
	}
	return ""
}

func (c *etcdCluster) holderOf(socket string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, f := range files {
		if to, err := os.Readlink(f); err != nil || to != socket {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(f, "../../cmdline"))
		for i := range c.clients {
			if strings.Contains(string(args), c.data(i)+"\x00") {
				return memberName(i)
			}
		}
	}
	return ""
}

// A leader that is cut off from the other members, and reached by the primary only: it
// neither lets the primary go on nor change anything, the standby gets the other two's
// leave, and the primary learns of it when the cut is mended.
func TestEtcdLeaderInAMinority(t *testing.T) {
	b := newSwitchboard(t)
	c := layEtcdCluster(t)
	c.between(b)
	c.startAll()
	s1, s2, r := c.pair(func(cfg *EtcdConfig) {
		me := string(cfg.Me)
		for i, addr := range c.clients {
			cfg.Endpoints[i] = "http://" + b.way(memberName(i), addr, func(net.Conn) string { return me })
		}
	})
	lonely := c.leader()
	for i := range c.cmds {
		if i != lonely {
			b.set(true, memberName(lonely), memberName(i))
			b.set(true, "server1", memberName(i))
		}
	}
	s1.wait("server1 without an arbiter", func() bool { _, _, reached := s1.Seen(); return !reached })
	ctx, cancel := context.WithTimeout(t.Context(), etcdTimeout)
	defer cancel()
	if _, err := s1.Change(ctx, record.Change{Transition: record.Detach, By: "server1", To: "server1", From: r.Revision}); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a change asked of the minority: %v", err)
	}
	var next record.Record
	s2.wait("the take-over", func() bool {
		now, err := s2.Change(t.Context(), takeOver(r.Revision))
		next = now
		return err == nil
	})
	if next.Primary != "server2" || next.Mode != pair.Alone {
		t.Errorf("after the take-over: %v", next)
	}
	if now, _, reached := s1.Seen(); reached || now != r {
		t.Errorf("server1 sees %v, reached %v, through a member of the minority", now, reached)
	}
	for i := range c.cmds {
		b.set(false, memberName(lonely), memberName(i))
	}
	s1.wait("the new reign", s1.sees(func(now record.Record) bool { return now == next }))
}
