package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// toldOfWrites waits until the keeper of a server that reads says that it could not write.
func (m *member) toldOfWrites(says string) {
	m.t.Helper()
	m.wait("that etcd takes no writes", func() bool { return strings.Contains(m.Problem(), says) })
	m.t.Log(m.Problem())
	if r, _, reachable := m.Seen(); !reachable || !r.Exists() {
		m.t.Errorf("what is read does not count: %v, reachable %v", r, reachable)
	}
	if !m.OtherHeard() {
		m.t.Error("the other server is not heard")
	}
}

// fill uses the disk quota up, so that etcd raises its alarm.
func (c *etcdCluster) fill() {
	c.Helper()
	big := b64(strings.Repeat("x", 200_000))
	for range 100 {
		if _, err := c.ask(0, "/v3/kv/put", `{"key":"`+b64("/fill")+`","value":"`+big+`"}`); err != nil {
			if !strings.Contains(err.Error(), "database space exceeded") {
				c.Fatal(err)
			}
			return
		}
	}
	c.Fatal("etcd has no quota")
}

// free does what etcd's manual says: compact, defragment, disarm.
func (c *etcdCluster) free() {
	c.Helper()
	var now etcdRangeAnswer
	must(c.T, json.Unmarshal([]byte(c.must("/v3/kv/range", `{"key":"`+b64("/fill")+`"}`)), &now))
	c.must("/v3/kv/compaction", `{"revision":"`+itoa(now.Header.Revision)+`","physical":true}`)
	for i := range c.clients {
		_, err := c.ask(i, "/v3/maintenance/defragment", `{}`)
		must(c.T, err)
	}
	var raised struct {
		Alarms []struct {
			Member string `json:"memberID"`
		} `json:"alarms"`
	}
	must(c.T, json.Unmarshal([]byte(c.must("/v3/maintenance/alarm", `{"action":"GET"}`)), &raised))
	for _, a := range raised.Alarms {
		c.must("/v3/maintenance/alarm", `{"action":"DEACTIVATE","memberID":"`+a.Member+`","alarm":"NOSPACE"}`)
	}
}

// An etcd whose quota is used up goes on answering reads and keeping leases alive: only
// what is written says that nobody could take over.
func TestEtcdWhoseQuotaIsUsedUpIsTold(t *testing.T) {
	c := newEtcdCluster(t, "--quota-backend-bytes", "1000000")
	s1, s2, r := c.pair()
	c.fill()
	e := s1.Keeper.(*etcd)
	_, lease, err := e.current()
	must(t, err)
	ctx := context.Background()
	_, err = e.look(ctx)
	must(t, err)
	if alive, err := e.refresh(ctx, lease); err != nil || !alive {
		t.Errorf("keep-alive: %v, %v", alive, err)
	}
	var said *etcdError
	if _, err := e.grant(ctx); !errors.As(err, &said) || said.Code != codeExhausted {
		t.Errorf("a lease was granted: %v", err)
	}
	if _, err := s1.Change(ctx, detach(r.Revision)); err == nil || !strings.Contains(err.Error(), "space exceeded") {
		t.Errorf("a change: %v", err)
	}
	s1.toldOfWrites("its disk quota is used up")
	s2.toldOfWrites("etcdctl alarm disarm")
	c.free()
	s1.wait("nothing wrong", func() bool { return s1.Problem() == "" })
	must2(s1.Change(ctx, detach(r.Revision)))(t)
}

func TestEtcdWhoseUserMayNotWriteAnyMoreIsTold(t *testing.T) {
	c := newEtcdCluster(t, "--bcrypt-cost", "4")
	of := `{"name":"mcctl","perm":{"permType":"%","key":"` + b64("/mcctl/") + `","range_end":"` + b64("/mcctl0") + `"}}`
	c.must("/v3/auth/user/add", `{"name":"root","password":"r"}`)
	c.must("/v3/auth/user/grant", `{"user":"root","role":"root"}`)
	c.must("/v3/auth/role/add", `{"name":"mcctl"}`)
	c.must("/v3/auth/role/grant", strings.Replace(of, "%", "READWRITE", 1))
	c.must("/v3/auth/user/add", `{"name":"mcctl","password":"secret"}`)
	c.must("/v3/auth/user/grant", `{"user":"mcctl","role":"mcctl"}`)
	c.must("/v3/auth/enable", `{}`)
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	s1, s2, r := c.pair(func(cfg *EtcdConfig) { cfg.Username, cfg.PasswordFile = "mcctl", file })
	root := c.config("server1", "server2")
	root.Username, root.PasswordFile = "root", filepath.Join(t.TempDir(), "root")
	must(t, os.WriteFile(root.PasswordFile, []byte("r\n"), 0o600))
	admin, err := newEtcd(EtcdWorld{}, root)
	must(t, err)
	grant := func(what string) {
		var nothing struct{}
		must(t, admin.client.call(t.Context(), "/v3/auth/role/grant", json.RawMessage(strings.Replace(of, "%", what, 1)), &nothing, false))
	}
	grant("READ")
	s1.toldOfWrites("permission denied")
	s2.toldOfWrites("/mcctl/")
	var refused *Refused
	if _, err := s1.Change(t.Context(), detach(r.Revision)); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a change: %v", err)
	}
	grant("READWRITE")
	s1.wait("nothing wrong", func() bool { return s1.Problem() == "" })
	must2(s1.Change(t.Context(), detach(r.Revision)))(t)
}

// A write that is tried leaves no trace: an etcd that nobody compacts would fill up, and
// whoever watches would look.
func TestEtcdTriedWritesChangeNothing(t *testing.T) {
	c := newEtcdCluster(t)
	s1, _, r := c.pair()
	e := s1.Keeper.(*etcd)
	mine := func() etcdServer {
		v, err := e.look(t.Context())
		must(t, err)
		return v.servers["server1"]
	}
	s1.wait("it has told what it knows", func() bool { return mine().report.Known == r })
	before := mine()
	for range 10 {
		must(t, e.tryWrite(t.Context()))
	}
	if after := mine(); after != before {
		t.Errorf("from %+v to %+v", before, after)
	}
}

// A write that nobody answers is told like one that is refused, until one is answered.
func TestEtcdThatAnswersNoWriteIsTold(t *testing.T) {
	c := newEtcdCluster(t)
	s1, _, _ := c.pair()
	e := s1.Keeper.(*etcd)
	e.noteWrite(context.DeadlineExceeded)
	if p := s1.Problem(); !strings.Contains(p, "no answer in time") {
		t.Errorf("it says %q", p)
	}
	began := time.Now()
	s1.wait("nothing wrong", func() bool { return s1.Problem() == "" })
	if took := time.Since(began); took > 2*writePace {
		t.Errorf("after %v", took)
	}
}
