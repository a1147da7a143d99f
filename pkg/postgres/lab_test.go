package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// bin is where the programs of the tests are; PG_BIN chooses another major.
func bin() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	return "/usr/lib/postgresql/15/bin"
}

const templateVariable = "MCCTL_TEST_TEMPLATE"

// TestMain makes one data directory; each server of a test is a copy of it.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp(root(), "mc")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Setenv(templateVariable, filepath.Join(dir, "t"))
		if os.Geteuid() != 0 {
			out, err := exec.Command(filepath.Join(bin(), "initdb"), "--no-sync", "--wal-segsize=1", "-U", "postgres", "-A", "trust", "-D", filepath.Join(dir, "t")).CombinedOutput()
			if err != nil {
				fmt.Fprintf(os.Stderr, "initdb: %v; install postgresql-15 or let PG_BIN name the directory of its programs\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// root is where servers live: short enough for unix sockets and, if possible, in
// memory, as a copy of a thousand small files takes 30 times as long on a disk.
func root() string {
	const memory = "/dev/shm"
	if unix.Access(memory, unix.W_OK) == nil {
		return memory
	}
	return "/tmp"
}

// limit bounds every wait of a test.
const limit = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDir is a directory for one server and its socket.
func newDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL refuses to run as root: run the tests with make test")
	}
	dir, err := os.MkdirTemp(root(), "mc")
	ok(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// moveWAL gives pg_wal a place outside the data directory, as on a disk of its own.
func moveWAL(t *testing.T, in *Instance) (wal string) {
	t.Helper()
	wal = filepath.Join(in.Socket, "wal")
	ok(t, os.Rename(filepath.Join(in.Data, "pg_wal"), wal))
	ok(t, os.Symlink(wal, filepath.Join(in.Data, "pg_wal")))
	return wal
}

// newInstance is an instance without a data directory yet.
func newInstance(t *testing.T) *Instance {
	t.Helper()
	dir := newDir(t)
	in := &Instance{
		Data: filepath.Join(dir, "d"), Bin: bin(), LogFile: filepath.Join(dir, "log"),
		Socket: dir, Port: freePort(t), User: "postgres", Database: "postgres",
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", in.Data, logTail(in.LogFile, 0))
		}
		pid, running := in.Postmaster()
		if running {
			ok(t, in.Kill(pid))
		}
		ok(t, in.KillLeftovers())
		if in.child != nil {
			<-in.child.exited
		}
		eventually(t, "leftovers are gone", func() bool { return len(processes(in.owns)) == 0 })
	})
	return in
}

// newServer is a configured, stopped server.
func newServer(t *testing.T) *Instance {
	t.Helper()
	in := newInstance(t)
	if out, err := exec.Command("cp", "-a", os.Getenv(templateVariable), in.Data).CombinedOutput(); err != nil {
		t.Fatalf("copy template: %v\n%s", err, out)
	}
	configure(t, in)
	return in
}

func configure(t *testing.T, in *Instance, more ...string) {
	t.Helper()
	base := []string{
		fmt.Sprintf("port = %d", in.Port),
		"listen_addresses = '127.0.0.1'",
		"unix_socket_directories = '" + in.Socket + "'",
		"wal_log_hints = on", "wal_retrieve_retry_interval = 100ms", "restart_after_crash = off",
		"dynamic_shared_memory_type = mmap", "fsync = off", "shared_buffers = 16MB", "autovacuum = off", "wal_keep_size = 64MB",
	}
	f, err := os.OpenFile(filepath.Join(in.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteString(strings.Join(append(base, more...), "\n") + "\n")
	ok(t, err)
}

func set(t *testing.T, in *Instance, lines ...string) {
	t.Helper()
	configure(t, in, lines...)
	if pid, running := in.Postmaster(); running {
		ok(t, in.Reload(pid))
	}
}

func start(t *testing.T, in *Instance) int {
	t.Helper()
	return startWith(t, in, StartOptions{})
}

func startWith(t *testing.T, in *Instance, opt StartOptions) int {
	t.Helper()
	var pid int
	eventually(t, "nothing of the former run is left", func() bool {
		var err error
		if pid, err = in.Start(opt); err == nil {
			err = in.WaitReady(within(t))
		}
		if !errors.Is(err, ErrStillInUse) {
			ok(t, err)
		}
		return err == nil
	})
	return pid
}

func connect(t *testing.T, in *Instance) *Session {
	t.Helper()
	s, err := in.Connect(within(t))
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

// client is a connection as an application has one, with the server's own settings.
func client(t *testing.T, in *Instance) *pgx.Conn {
	t.Helper()
	conn, err := sourceOf(in, "client").dial(within(t))
	ok(t, err)
	t.Cleanup((&Session{conn: conn}).Close)
	return conn
}

func query(t *testing.T, in *Instance, sql string) string {
	t.Helper()
	var answer string
	ok(t, client(t, in).QueryRow(within(t), "select ("+sql+")::text").Scan(&answer))
	return answer
}

func execute(t *testing.T, in *Instance, sql string) {
	t.Helper()
	_, err := client(t, in).Exec(within(t), sql)
	ok(t, err)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func sourceOf(in *Instance, name string) Source {
	return Source{Host: "127.0.0.1", Port: in.Port, User: "postgres", Database: "postgres", ApplicationName: name, Options: "sslmode=disable connect_timeout=2"}
}

// newStandby is a stopped copy of the running server, set up to stream from it as s.
func newStandby(t *testing.T, primary *Instance) *Instance {
	t.Helper()
	in := newInstance(t)
	ok(t, in.BaseBackup(within(t), sourceOf(primary, "s"), BackupOptions{}))
	ok(t, in.Swap(false))
	configure(t, in, "primary_conninfo = '"+sourceOf(primary, "s").Conninfo()+"'")
	ok(t, in.MarkStandby())
	return in
}

// newPair is a running primary with a running synchronous standby.
func newPair(t *testing.T) (primary, standby *Instance) {
	t.Helper()
	primary = newServer(t)
	start(t, primary)
	execute(t, primary, "create table t(n int)")
	standby = newStandby(t, primary)
	start(t, standby)
	set(t, primary, "synchronous_standby_names = 's'")
	watch := connect(t, primary)
	eventually(t, "the standby is synchronous", func() bool {
		look, err := watch.Look(within(t), "s")
		ok(t, err)
		return look.Peer != nil && look.Peer.SyncState == "sync"
	})
	return primary, standby
}

// promote asks as a supervisor does, until the server is open for writes.
func promote(t *testing.T, in *Instance) {
	t.Helper()
	pid, running := in.Postmaster()
	if !running {
		t.Fatal("cannot promote: not running")
	}
	s := connect(t, in)
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		ok(t, in.AskPromotion(pid))
		in, err := s.InRecovery(within(t))
		ok(t, err)
		if !in {
			return
		}
		if time.Now().After(end) {
			t.Fatal("never promoted")
		}
	}
}
