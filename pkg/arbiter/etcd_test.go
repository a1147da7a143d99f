package arbiter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func attach(from record.Revision) record.Change {
	return record.Change{Transition: record.Attach, By: "server1", To: "server1", From: from}
}

func TestEtcdJudgesLikeAWitness(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	var refused *Refused
	if _, err := s1.Change(t.Context(), detach(r.Revision-1)); !errors.Is(err, record.ErrConflict) || errors.As(err, &refused) || errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a conflict is %v", err)
	}
	if _, err := s2.Change(t.Context(), takeOver(r.Revision)); !errors.As(err, &refused) || errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a take-over from a primary that is heard: %v", err)
	}
	if _, err := s2.Change(t.Context(), detach(r.Revision)); !errors.As(err, &refused) {
		t.Errorf("a change in the name of the other server: %v", err)
	}
	s1.say(wire.WitnessDown)
	t.Logf("down seen after %v", s2.wait("server1 down", s2.OtherPostgresDown))
	next, err := s2.Change(t.Context(), takeOver(r.Revision))
	must(t, err)
	if next.Primary != "server2" || next.Term != 2 || next.Mode != pair.Alone {
		t.Errorf("after the take-over: %v", next)
	}
	e := s2.Keeper.(*etcd)
	v, err := e.look(t.Context())
	must(t, err)
	if known := v.servers["server2"].report.Known; known != next {
		t.Errorf("granted %v, but server2's key knows %v", next, known)
	}
	t.Logf("taken over, seen after %v", s1.wait("the new reign", s1.sees(func(now record.Record) bool { return now == next })))
	if now, err := s1.Read(t.Context()); err != nil || now != next {
		t.Errorf("read %v, %v", now, err)
	}
}

// A primary whose supervisor vanishes is replaced when its lease has run out; one that
// ends in good order gives its lease back.
func TestEtcdLease(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	s1.stop()
	t.Logf("gone in good order, seen after %v", s2.wait("server1 gone", func() bool { return !s2.OtherHeard() }))
	s1 = etcdMember(t, c.config("server1", "server2"), r)
	s2.wait("server1 back", s2.OtherHeard)
	e := s1.Keeper.(*etcd)
	e.mu.Lock()
	e.renewed = wire.Now() + time.Hour // a supervisor that is frozen renews nothing
	e.mu.Unlock()
	began := time.Now()
	s2.wait("the lease has run out", func() bool {
		next, err := s2.Change(t.Context(), takeOver(r.Revision))
		return err == nil && next.Primary == "server2"
	})
	t.Logf("allowed %v after the last sign of life at most", time.Since(began)+etcdTimeout/3)
}

func TestEtcdMembersDie(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	rev := r.Revision
	flip := func(what string) {
		t.Helper()
		settled(s1, s2)
		began := time.Now()
		s1.wait("a change "+what, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), etcdTimeout)
			defer cancel()
			next, err := s1.Change(ctx, attach(rev))
			if errors.Is(err, record.ErrConflict) { // one whose answer was lost had happened
				if now, err := s1.Read(ctx); err == nil {
					rev = now.Revision
				}
				return false
			}
			if err != nil && !errors.Is(err, wire.ErrNoAnswer) {
				t.Fatalf("%s: %v", what, err)
			}
			rev = max(rev, next.Revision)
			return err == nil
		})
		if took := time.Since(began); took > 10*time.Second { // an election is promised to take one or two, four times that on a busy machine
			t.Errorf("%s: changed after %v", what, took)
		} else {
			t.Logf("%s: changed after %v", what, took)
		}
	}
	for range 3 { // each of them, the leader first
		i := c.leader()
		c.kill(i)
		flip("with the leader killed")
		c.start(i)
		flip("with it back")
	}
	i := c.leader()
	c.signal(i, syscall.SIGSTOP)
	flip("with the leader frozen")
	c.signal(i, syscall.SIGCONT)
	flip("with it thawed")
	c.kill(0)
	c.kill(1)
	took := s1.wait("unreachable", func() bool { _, _, reachable := s1.Seen(); return !reachable && s1.Problem() != "" })
	t.Logf("without a quorum unreachable after %v: %s", took, s1.Problem())
	var refused *Refused
	ctx, cancel := context.WithTimeout(t.Context(), etcdTimeout)
	defer cancel()
	if _, err := s1.Change(ctx, detach(rev)); !errors.Is(err, wire.ErrNoAnswer) || errors.As(err, &refused) || errors.Is(err, record.ErrConflict) {
		t.Errorf("without a quorum: %v", err)
	}
	if _, err := s2.Read(ctx); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("read without a quorum: %v", err)
	}
	c.start(0)
	c.start(1)
	now := settled(s1, s2)
	if now.Term != r.Term || now.Primary != r.Primary || now.Revision < rev {
		t.Errorf("after the quorum came back: %v, was %v", now, r)
	}
}

func TestEtcdCompacted(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	for range 3 {
		now, err := s1.Change(t.Context(), attach(r.Revision))
		must(t, err)
		r = now
		e := s1.Keeper.(*etcd)
		e.mu.Lock()
		revision := e.view.revision
		e.mu.Unlock()
		c.must("/v3/kv/compaction", `{"revision":"`+itoa(revision)+`","physical":true}`)
		s2.wait("the change", s2.sees(func(now record.Record) bool { return now == r }))
	}
}

func TestEtcdEmptiedFindsTheRecordAlone(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	e := s2.Keeper.(*etcd)
	session, _, err := e.current()
	must(t, err)
	for i := range c.cmds {
		c.kill(i)
		must(t, os.RemoveAll(filepath.Join(c.dir, "m"+itoa(int64(i)))))
	}
	c.startAll()
	s1.wait("the record found again", s1.sees(func(now record.Record) bool { return now.Revision > r.Revision+1000 }))
	found := settled(s1, s2)
	if found.Term != r.Term || found.Primary != "server1" || found.Mode != pair.Alone {
		t.Errorf("of %v was found %v", r, found)
	}
	if _, err := s1.Change(t.Context(), detach(r.Revision)); !errors.Is(err, record.ErrConflict) {
		t.Errorf("a change from the lost record: %v", err)
	}
	// An answer of the lost store that is looked at only now.
	late := etcdView{record: r, revision: 1 << 40}
	late.record.Term, late.record.Primary = r.Term+1, "server2"
	if err := e.learn(late, session, wire.Now()); !errors.Is(err, errLate) {
		t.Errorf("an answer of the lost store was learned: %v", err)
	}
	must2(s1.Change(t.Context(), attach(found.Revision)))(t)
}

// The record is deleted before the grantee has heard of its grant, and is found again: the
// grant counts, since he may act upon it.
func TestEtcdRecordDeletedAfterAGrant(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	s1.say(wire.WitnessDown)
	s2.wait("server1 down", s2.OtherPostgresDown)
	granted, err := s2.Change(t.Context(), takeOver(r.Revision))
	must(t, err)
	c.must("/v3/kv/deleterange", `{"key":"`+b64("/mcctl/lab/record")+`"}`)
	s1.wait("found again", s1.sees(func(seen record.Record) bool { return seen.Revision > granted.Revision+1000 }))
	if found := settled(s1, s2); found.Term != granted.Term || found.Primary != "server2" {
		t.Errorf("granted %v, found %v", granted, found)
	}
}

// An etcd whose record is older than what a server knows has lost changes: nothing is
// judged by that record.
func TestEtcdRestoredFromABackup(t *testing.T) {
	c := newEtcdCluster(t)
	s1, s2, r := c.pair()
	old := c.must("/v3/kv/range", `{"key":"`+b64("/mcctl/lab/record")+`"}`)
	now, err := s1.Change(t.Context(), detach(r.Revision))
	must(t, err)
	s2.wait("alone", s2.sees(func(seen record.Record) bool { return seen == now }))
	_, value, _ := strings.Cut(old, `"value":"`)
	value, _, _ = strings.Cut(value, `"`)
	e := s1.Keeper.(*etcd)
	s1.wait("both told what they know", func() bool {
		v, err := e.look(t.Context())
		return err == nil && v.servers["server1"].report.Known == now && v.servers["server2"].report.Known == now
	})
	c.must("/v3/kv/put", `{"key":"`+b64("/mcctl/lab/record")+`","value":"`+value+`"}`)
	s1.wait("found again", s1.sees(func(seen record.Record) bool { return seen.Revision > now.Revision+1000 }))
	if found := settled(s1, s2); found.Mode != pair.Alone || found.Term != now.Term {
		t.Errorf("found %v", found)
	}
}

func TestEtcdAuthenticationWithTokensThatExpire(t *testing.T) {
	c := newEtcdCluster(t, "--auth-token", "simple", "--auth-token-ttl", "1", "--bcrypt-cost", "4")
	c.must("/v3/auth/user/add", `{"name":"root","password":"r"}`)
	c.must("/v3/auth/user/grant", `{"user":"root","role":"root"}`)
	c.must("/v3/auth/role/add", `{"name":"mcctl"}`)
	c.must("/v3/auth/role/grant", `{"name":"mcctl","perm":{"permType":"READWRITE","key":"`+b64("/mcctl/")+`","range_end":"`+b64("/mcctl0")+`"}}`)
	c.must("/v3/auth/user/add", `{"name":"mcctl","password":"secret"}`)
	c.must("/v3/auth/user/grant", `{"user":"mcctl","role":"mcctl"}`)
	c.must("/v3/auth/enable", `{}`)
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("wrong\n"), 0o600))
	m := etcdMember(t, c.config("server1", "server2"), record.Record{})
	m.wait("it says that a user is missing", func() bool { return strings.Contains(m.Problem(), "user name is empty") })
	m.stop()
	m = etcdMember(t, func() EtcdConfig {
		cfg := c.config("server1", "server2")
		cfg.Username, cfg.PasswordFile = "mcctl", file
		return cfg
	}(), record.Record{})
	m.wait("it says that the password is wrong", func() bool { return strings.Contains(m.Problem(), "log in as mcctl") })
	m.stop()
	must(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	s1, s2, r := c.pair(func(cfg *EtcdConfig) { cfg.Username, cfg.PasswordFile = "mcctl", file })
	for range 4 {
		time.Sleep(1500 * time.Millisecond) // longer than a token lives
		next, err := s1.Change(t.Context(), attach(r.Revision))
		must(t, err)
		r = next
	}
	if now, err := s2.Read(t.Context()); err != nil || now != r {
		t.Errorf("read %v, %v", now, err)
	}
}

func TestEtcdWithClientCertificates(t *testing.T) {
	dir := t.TempDir()
	etcdCertificates(t, dir)
	crt, key := filepath.Join(dir, "etcd.crt"), filepath.Join(dir, "etcd.key")
	c := newEtcdCluster(t, "--cert-file", crt, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", crt)
	without := c.config("server1", "server2")
	without.CA = crt
	m := etcdMember(t, without, record.Record{})
	m.wait("refused without a certificate", func() bool { return strings.Contains(m.Problem(), "certificate") })
	t.Log(m.Problem())
	m.stop()
	s1, _, r := c.pair(func(cfg *EtcdConfig) { cfg.CA, cfg.Certificate, cfg.Key = crt, crt, key })
	must2(s1.Change(t.Context(), detach(r.Revision)))(t)
	plain := c.config("server2", "server1")
	for i := range plain.Endpoints {
		plain.Endpoints[i] = strings.Replace(plain.Endpoints[i], "https", "http", 1)
	}
	m = etcdMember(t, plain, record.Record{})
	m.wait("it says that TLS is wanted", func() bool { return strings.Contains(m.Problem(), "TLS") })
	t.Log(m.Problem())
}

func TestEtcdOfTheWrongKind(t *testing.T) {
	h := newHost(t)
	h.start(t)
	web := serveHTTP(t, http.NotFoundHandler())
	v2 := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"etcdserver":"2.3.7","etcdcluster":"2.3.0"}`))
	}))
	for _, c := range []struct{ name, addr, want string }{
		{"a witness", h.addr, "wants TLS"},
		{"a web server", web, "is not etcd"},
		{"an old etcd", v2, "it is etcd 2.3.7"},
		{"nobody", freeAddr(t), "no process listens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := etcdMember(t, EtcdConfig{Endpoints: []string{"http://" + c.addr}, Prefix: "/mcctl", Pair: "lab", Me: "server1", Other: "server2", Interval: etcdInterval, Timeout: etcdTimeout}, record.Record{})
			m.wait(c.want, func() bool { return strings.Contains(m.Problem(), c.want) })
			if strings.Contains(m.Problem(), "\n") {
				t.Errorf("more than one line: %q", m.Problem())
			}
			t.Log(m.Problem())
		})
	}
}

func serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}
