package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mcctl/pkg/pair"
)

func TestLookAtAPair(t *testing.T) {
	primary, standby := newPair(t)
	p, s := connect(t, primary), connect(t, standby)
	execute(t, primary, "insert into t values (1)")
	here, err := p.Look(within(t), "s")
	ok(t, err)
	if here.InRecovery || here.Timeline != 1 || here.CheckpointTimeline != 1 || here.Insert < here.Flush || here.Flush == 0 || here.Received != 0 {
		t.Errorf("primary: %+v", here)
	}
	if here.Peer == nil || here.Peer.State != "streaming" || here.Peer.PID == 0 || here.Peer.Flush == 0 || here.SyncNames != "s" || here.SyncWaiters != 0 {
		t.Errorf("primary's peer: %+v, names %q, waiting %d", here.Peer, here.SyncNames, here.SyncWaiters)
	}
	if other, err := p.Look(within(t), "nobody"); err != nil || other.Peer != nil {
		t.Errorf("a peer that is not there: %+v, %v", other.Peer, err)
	}
	eventually(t, "the standby has it all", func() bool {
		there, err := s.Look(within(t), "p")
		ok(t, err)
		return there.Replayed >= here.Flush
	})
	there, err := s.Look(within(t), "p")
	ok(t, err)
	if !there.InRecovery || there.Timeline != 1 || there.Received < here.Flush || there.ReplayPaused || there.Insert != 0 || there.Peer != nil {
		t.Errorf("standby: %+v", there)
	}
	if there.Receiver.Status != "streaming" || there.Receiver.Silence <= 0 || there.Receiver.Silence > limit {
		t.Errorf("receiver: %+v", there.Receiver)
	}
	if is, err := s.InRecovery(within(t)); err != nil || !is {
		t.Errorf("standby in recovery: %t, %v", is, err)
	}
	ok(t, p.Checkpoint(within(t)))
}

// A standby replies from time to time although nothing is written: every
// wal_receiver_status_interval, 10 s by default. One that is frozen does not.
func TestFactAnIdleStandbyReplies(t *testing.T) {
	primary, standby := newPair(t)
	p := connect(t, primary)
	if got := query(t, standby, "select boot_val || unit from pg_settings where name = 'wal_receiver_status_interval'"); got != "10s" {
		t.Errorf("the default is %s", got)
	}
	execute(t, standby, "alter system set wal_receiver_status_interval = '1s'")
	execute(t, standby, "select pg_reload_conf()")
	reply := func() int64 {
		look, err := p.Look(within(t), "s")
		ok(t, err)
		return look.Peer.Reply
	}
	last := reply()
	for range 3 {
		eventually(t, "another reply", func() bool { return reply() != last })
		last = reply()
	}
	receiver, err := strconv.Atoi(query(t, standby, "select pid from pg_stat_wal_receiver"))
	ok(t, err)
	ok(t, syscall.Kill(receiver, syscall.SIGSTOP))
	defer syscall.Kill(receiver, syscall.SIGCONT)
	time.Sleep(100 * time.Millisecond) // what was under way
	last = reply()
	time.Sleep(2500 * time.Millisecond)
	if reply() != last {
		t.Error("a frozen one has replied")
	}
}

// A walreceiver says that it streams as soon as it is connected, before it asks for the
// log. It begins with the same instant for both times of the last message, and has another
// for each once there was one.
func TestFactAWalreceiverSaysTooEarlyThatItStreams(t *testing.T) {
	primary, standby := newPair(t)
	s := connect(t, standby)
	look := func() Receiver {
		look, err := s.Look(within(t), "p")
		ok(t, err)
		return look.Receiver
	}
	execute(t, primary, "insert into t values (1)") // where nothing is written nothing is sent
	eventually(t, "it streams", func() bool { return look().Answered })
	accepted := look().PID
	execute(t, standby, "alter system set primary_slot_name = 'missing'")
	execute(t, standby, "select pg_reload_conf()")
	var refused Receiver
	for end := time.Now().Add(limit); time.Now().Before(end) && (refused.Status != "streaming" || refused.PID == accepted); {
		refused = look()
	}
	if refused.Status != "streaming" || refused.Answered {
		t.Errorf("one that is refused: %+v", refused)
	}
	execute(t, primary, "select pg_create_physical_replication_slot('missing', true)")
	execute(t, primary, "checkpoint")
	eventually(t, "it streams again", func() bool { return look().Status == "streaming" && look().Answered })
}

func TestLookWithoutReceiver(t *testing.T) {
	primary, standby := newPair(t)
	pid, _ := primary.Postmaster()
	ok(t, primary.Kill(pid))
	s := connect(t, standby)
	eventually(t, "the receiver is gone", func() bool {
		look, err := s.Look(within(t), "p")
		ok(t, err)
		return look.Receiver.Status == ""
	})
	look, err := s.Look(within(t), "p")
	ok(t, err)
	if look.Timeline != pair.Timeline(1) || look.Received == 0 {
		t.Errorf("%+v", look)
	}
}

func TestLookTimesOut(t *testing.T) {
	in := newServer(t)
	start(t, in)
	s := connect(t, in)
	backend := int(s.conn.PgConn().PID())
	ok(t, syscall.Kill(backend, syscall.SIGSTOP))
	defer syscall.Kill(backend, syscall.SIGCONT)
	ctx, cancel := contextWith(50 * time.Millisecond)
	defer cancel()
	if _, err := s.Look(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("look at a frozen backend: %v", err)
	}
	if s.Alive() {
		t.Error("the session is not given up")
	}
}

func TestSlots(t *testing.T) {
	primary, _ := newPair(t)
	s := connect(t, primary)
	for range 2 {
		ok(t, s.EnsureSlot(within(t), "kept"))
	}
	if got := query(t, primary, "select restart_lsn is not null from pg_replication_slots where slot_name = 'kept'"); got != "true" {
		t.Error("the slot reserves nothing")
	}
	execute(t, primary, "select pg_create_physical_replication_slot('idle', false)")
	ok(t, s.EnsureSlot(within(t), "idle"))
	if got := query(t, primary, "select restart_lsn is not null from pg_replication_slots where slot_name = 'idle'"); got != "true" {
		t.Error("an idle slot was not made to reserve")
	}
	for range 2 {
		ok(t, s.DropSlot(within(t), "kept"))
	}
	if err := s.EnsureSlot(within(t), "Not Valid"); err == nil {
		t.Error("a name that cannot be was accepted")
	}
}

func TestPauseAndResume(t *testing.T) {
	primary, standby := newPair(t)
	s := connect(t, standby)
	ok(t, s.PauseReplay(within(t)))
	look, err := s.Look(within(t), "p")
	ok(t, err)
	if !look.ReplayPaused {
		t.Error("a paused replay does not show")
	}
	for range 2 {
		ok(t, s.ResumeReplay(within(t)))
	}
	p := connect(t, primary)
	ok(t, p.ResumeReplay(within(t)))
}

// While a query on the standby is in the way of replay, nobody confirms the pause. It is
// asked for all the same, and nothing that is written from then on is applied before it.
func TestReplayThatIsHeldUpCanBePaused(t *testing.T) {
	primary, standby := newPair(t)
	reader := replayWaits(t, primary, standby)
	s := connect(t, standby)
	short, cancel := contextWith(time.Second)
	defer cancel()
	ok(t, s.PauseReplay(short))
	c, err := primary.StartCanary(within(t))
	ok(t, err)
	if !c.InForce() {
		t.Error("a commit that asks to be applied does not wait")
	}
	_, err = reader.Exec(within(t), "rollback")
	ok(t, err)
	ok(t, s.ResumeReplay(within(t)))
	ok(t, c.Finish(within(t)))
}

// A receiver that was frozen while log was written is like one whose host has lost its
// power: its walsender sits on a full socket, and ends all the same.
func TestFreeSlot(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	p := connect(t, primary)
	ok(t, p.EnsureSlot(within(t), "mine"))
	receiver := exec.Command(filepath.Join(bin(), "pg_receivewal"), "-D", newDir(t), "-S", "mine", "-d", sourceOf(primary, "r").Conninfo())
	ok(t, receiver.Start())
	t.Cleanup(func() { _ = receiver.Process.Kill(); _ = receiver.Wait() })
	watch := client(t, primary)
	held := func() (active bool) {
		ok(t, watch.QueryRow(within(t), "select active from pg_replication_slots where slot_name = 'mine'").Scan(&active))
		return active
	}
	eventually(t, "the receiver holds the slot", held)
	ok(t, receiver.Process.Signal(syscall.SIGSTOP))
	execute(t, primary, "create table filler as select repeat('x', 1000) from generate_series(1, 20000)")
	if freed, err := p.FreeSlot(within(t), "mine", time.Hour); freed || err != nil {
		t.Errorf("a walsender that is young: %t, %v", freed, err)
	}
	eventually(t, "the slot is free", func() bool {
		freed, err := p.FreeSlot(within(t), "mine", 0)
		ok(t, err)
		return !freed && !held()
	})
	if freed, err := p.FreeSlot(within(t), "mine", 0); freed || err != nil {
		t.Errorf("a free slot: %t, %v", freed, err)
	}
}

func TestAnswers(t *testing.T) {
	in := newServer(t)
	tcp := net.JoinHostPort("127.0.0.1", fmt.Sprint(in.Port))
	if err := Answers(within(t), tcp); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody there: %v", err)
	}
	if err := Answers(within(t), in.SocketPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	certificate(t, in)
	configure(t, in, "ssl = on")
	pid := start(t, in)
	before := logTail(in.LogFile, 0)
	for range 3 {
		ok(t, Answers(within(t), tcp))
		ok(t, Answers(within(t), in.SocketPath()))
		ok(t, in.Knock(within(t)))
	}
	time.Sleep(100 * time.Millisecond) // a complaint would come with the backend's exit
	if after := logTail(in.LogFile, 0); after != before {
		t.Errorf("the log grew:\n%s", after)
	}
	ok(t, syscall.Kill(pid, syscall.SIGSTOP))
	ctx, cancel := contextWith(50 * time.Millisecond)
	defer cancel()
	if err := Answers(ctx, tcp); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen postmaster: %v", err)
	}
	if err := in.Knock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("knock at a frozen postmaster: %v", err)
	}
}

// certificate gives the server a self-signed one, so that TLS is on.
func certificate(t *testing.T, in *Instance) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	it := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, it, it, &key.PublicKey, key)
	ok(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(in.Data, "server.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ok(t, os.WriteFile(filepath.Join(in.Data, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func TestAnswersFromAnotherService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("HTTP/1.1 400"))
			c.Close()
		}
	}()
	if err := Answers(within(t), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "not PostgreSQL") {
		t.Errorf("a web server: %v", err)
	}
}

func TestConninfo(t *testing.T) {
	s := Source{Host: "h", Port: 5433, User: "it's", Database: "a b", Passfile: `/p\q`, ApplicationName: "s1", Options: "sslmode=require"}
	const want = `host=h port=5433 user='it\'s' dbname='a b' passfile='/p\\q' application_name=s1 sslmode=require`
	if got := s.Conninfo(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Every blank of libpq's ends a value (isspace), and every value is read as it was.
func TestConninfoIsReadBack(t *testing.T) {
	for _, user := range []string{"a\vb", "a\fb", "a\rb", `\`, `'`, `a=b`, "é ü", "%41", ""} {
		config, err := pgconn.ParseConfig(Source{Host: "h", User: user + "x", Database: "d"}.Conninfo())
		if err != nil || config.User != user+"x" || config.Database != "d" {
			t.Errorf("%q: %v, %+v", user, err, config)
		}
	}
}

func TestCanary(t *testing.T) {
	primary, standby := newPair(t)
	s := connect(t, standby)
	ok(t, s.PauseReplay(within(t)))
	var c *Canary
	eventually(t, "the names are in force", func() (inForce bool) {
		var err error
		c, err = primary.StartCanary(within(t))
		ok(t, err)
		inForce = c.InForce()
		if !inForce {
			ok(t, c.Finish(within(t)))
		}
		return inForce
	})
	execute(t, primary, "insert into t values (1)") // an ordinary commit is not held up
	short, cancel := contextWith(20 * time.Millisecond)
	defer cancel()
	given, err := primary.StartCanary(within(t))
	ok(t, err)
	if err := given.Finish(short); !given.InForce() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a canary given up: in force %t, %v", given.InForce(), err)
	}
	ok(t, s.ResumeReplay(within(t)))
	ok(t, c.Finish(within(t)))

	set(t, primary, "synchronous_standby_names = ''")
	eventually(t, "the names are out of force", func() bool {
		c, err := primary.StartCanary(within(t))
		ok(t, err)
		ok(t, c.Finish(within(t)))
		return !c.InForce()
	})
}

// What a standby has said to have is remembered by its slot when it is gone.
func TestReceived(t *testing.T) {
	primary, standby := newPair(t)
	execute(t, primary, "select pg_create_physical_replication_slot('mcctl_s')")
	set(t, standby, "primary_slot_name = 'mcctl_s'")
	s := connect(t, primary)
	execute(t, primary, "insert into t values (1)")
	at, err := pair.ParseLSN(query(t, primary, "pg_current_wal_flush_lsn()"))
	ok(t, err)
	eventually(t, "the slot knows it", func() bool {
		execute(t, primary, "insert into t values (2)")
		return query(t, primary, "select restart_lsn >= '"+at.String()+"' from pg_replication_slots where slot_name = 'mcctl_s' and active") == "true"
	})
	pid, _ := standby.Postmaster()
	ok(t, standby.Kill(pid))
	eventually(t, "its sender has gone", func() bool { return query(t, primary, "select count(*) from pg_stat_replication") == "0" })
	var me int
	ok(t, s.conn.QueryRow(within(t), "select pg_backend_pid()").Scan(&me))
	r, err := s.Received(within(t), "s", "mcctl_s", []int{me, 1})
	ok(t, err)
	if r.Flush < at || r.Write < r.Flush || r.SyncNames != "s" || !r.Here[me] || r.Here[1] {
		t.Errorf("%+v, want at least %s", r, at)
	}
	r, err = s.Received(within(t), "nobody", "none", nil)
	if err != nil || r.Flush != 0 || r.Write != 0 || len(r.Here) != 0 {
		t.Errorf("of a standby that never was: %+v, %v", r, err)
	}
}
