package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

const templateVariable = "MCCTL_TEST_TEMPLATE"

// TestMain makes one data directory; each server of a test is a copy of it.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() == 0 {
			return m.Run() // what needs PostgreSQL says so
		}
		dir, err := os.MkdirTemp(root(), "mc")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Setenv(templateVariable, filepath.Join(dir, "t"))
		if out, err := makeTemplate(filepath.Join(dir, "t")); err != nil {
			fmt.Fprintf(os.Stderr, "make data directory: %v; install postgresql-15 or let PG_BIN name the directory of its programs\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// makeTemplate makes a data directory with a role app for clients.
func makeTemplate(data string) ([]byte, error) {
	out, err := exec.Command(filepath.Join(bin(), "initdb"), "--no-sync", "--wal-segsize=1", "-U", "postgres", "-A", "trust", "-D", data).CombinedOutput()
	if err != nil {
		return out, err
	}
	single := exec.Command(filepath.Join(bin(), "postgres"), "--single", "-D", data, "postgres")
	single.Stdin = strings.NewReader("create role app login\n")
	return single.CombinedOutput()
}

func bin() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	return "/usr/lib/postgresql/15/bin"
}

// root is where servers live: short enough for unix sockets and, if possible, in
// memory.
func root() string {
	const memory = "/dev/shm"
	if f, err := os.CreateTemp(memory, "mc"); err == nil {
		_, _ = f.Close(), os.Remove(f.Name())
		return memory
	}
	return "/tmp"
}

// limit bounds every wait of a test.
const limit = 20 * time.Second

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks that an error says every one of the words.
func fails(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// otherSide is what the other supervisor does; answer may be nil: it says yes to
// everything.
type otherSide struct {
	answer func(ctx context.Context, kind string, request any) (any, error)
	// room answers how much room there is; nil for enough.
	room func() (wire.HoldsAnswer, error)

	mu     sync.Mutex
	asked  []string
	kicked int
}

func (o *otherSide) Call(ctx context.Context, kind string, request, answer any) error {
	if q, holds := request.(wire.HoldsRequest); holds && q.Room {
		if o.room == nil {
			return nil
		}
		got, err := o.room()
		*answer.(*wire.HoldsAnswer) = got
		return err
	}
	o.mu.Lock()
	o.asked = append(o.asked, kind)
	o.mu.Unlock()
	if o.answer == nil {
		return nil
	}
	got, err := o.answer(ctx, kind, request)
	if err != nil || answer == nil {
		return err
	}
	b, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

func (o *otherSide) Kick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kicked++
}

// times is how often a kind was asked.
func (o *otherSide) times(kind string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.asked {
		if k == kind {
			n++
		}
	}
	return n
}

// newHands are the hands of server1, with a stopped PostgreSQL and a record that
// is kept here.
func newHands(t *testing.T, r record.Record) (*Hands, *otherSide) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL refuses to run as root, and root may write everywhere: run the tests with make test")
	}
	dir, err := os.MkdirTemp(root(), "mc")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := newConfig(t, dir)
	own, err := arbiter.OpenCopy(durable.Machine, c.Path("record.json"))
	ok(t, err)
	ok(t, own.Save(r))
	jobs, err := LoadJobs(NewStore(c.Path))
	ok(t, err)
	rebuilds, _, err := LoadRebuilds(durable.Machine, c.Path("rebuild.json"))
	ok(t, err)
	other := &otherSide{}
	h := &Hands{
		Config: c, Peer: other, Board: board.NewBoard(), Copy: own, Jobs: jobs, Rebuilds: rebuilds, Log: slog.New(slog.DiscardHandler), Major: major(t),
		Keeper:   arbiter.NewLocal(arbiter.Machine, own, "server1", func() (record.Record, bool) { return record.Record{}, false }),
		Postgres: On(newServer(t, dir, c)),
	}
	h.Look = func() { look(h) }
	var work sync.WaitGroup
	life, end := context.WithCancel(context.Background())
	h.Background = func(_ string, do func(context.Context) error) { work.Go(func() { _ = do(life) }) }
	h.Aside = func(step func() error) func(context.Context) error {
		outcome := make(chan error, 1)
		work.Go(func() { outcome <- step() })
		return func(ctx context.Context) error {
			select {
			case err := <-outcome:
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	t.Cleanup(work.Wait)
	t.Cleanup(end)
	h.Board.Set(func(s *board.Sight) { s.Record, s.Copy = r, r })
	look(h)
	return h, other
}

// major is PostgreSQL's major version.
func major(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(content(t, filepath.Join(os.Getenv(templateVariable), "PG_VERSION"))))
	ok(t, err)
	return n
}

// server is the PostgreSQL itself.
func server(h *Hands) *postgres.Instance { return h.Postgres.(instance).Instance }

// look notes whether a postmaster runs, as a watcher does.
func look(h *Hands) {
	pid, _ := h.Postgres.Postmaster()
	h.Board.Set(func(s *board.Sight) { s.Known, s.PID = true, pid })
}

func newConfig(t *testing.T, dir string) *config.Config {
	t.Helper()
	c := config.Defaults()
	c.Dir = filepath.Join(dir, "m")
	ok(t, os.MkdirAll(c.Path("run"), 0o700))
	c.Pair.Name, c.Pair.Arbiter.Kind = "p", config.None
	c.Pair.Servers = map[string]config.Endpoint{}
	for _, name := range []string{"server1", "server2"} {
		c.Pair.Servers[name] = config.Endpoint{Replication: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	}
	s := &c.Server
	s.Name, s.DataDirectory, s.BinDirectory, s.LogFile = "server1", filepath.Join(dir, "d"), bin(), filepath.Join(dir, "log")
	s.ConfigFile, s.HBAFile = filepath.Join(s.DataDirectory, "postgresql.conf"), filepath.Join(s.DataDirectory, "pg_hba.conf")
	s.Postgres.SocketDirectory, s.Postgres.Port, s.Replication.User = dir, freePort(t), "postgres"
	return &c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newServer is a configured, stopped server.
func newServer(t *testing.T, dir string, c *config.Config) *postgres.Instance {
	t.Helper()
	s := c.Server
	in := &postgres.Instance{
		Data: s.DataDirectory, Bin: bin(), ConfigFile: s.ConfigFile, LogFile: s.LogFile, Socket: dir,
		Port: s.Postgres.Port, User: s.Postgres.User, Database: s.Postgres.Database,
	}
	if out, err := exec.Command("cp", "-a", os.Getenv(templateVariable), in.Data).CombinedOutput(); err != nil {
		t.Fatalf("copy template: %v\n%s", err, out)
	}
	f, err := os.OpenFile(s.ConfigFile, os.O_APPEND|os.O_WRONLY, 0o600)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteString(strings.Join([]string{
		"", fmt.Sprintf("port = %d", in.Port), "listen_addresses = '127.0.0.1'", "unix_socket_directories = '" + dir + "'",
		"wal_log_hints = on", "fsync = off", "dynamic_shared_memory_type = mmap", "shared_buffers = 16MB", "autovacuum = off", "",
	}, "\n"))
	ok(t, err)
	t.Cleanup(func() { stopForGood(t, in) })
	return in
}

// stopForGood lets PostgreSQL end by itself where it can: killed, it leaves shared
// memory behind that nobody frees before the next start.
func stopForGood(t *testing.T, in *postgres.Instance) {
	if t.Failed() {
		b, _ := os.ReadFile(in.LogFile)
		t.Logf("log of %s:\n%s", in.Data, b)
	}
	if pid, running := in.Postmaster(); running {
		_ = syscall.Kill(pid, syscall.SIGCONT) // a test may have frozen it
		ok(t, in.Stop(within(t), pid, postgres.Immediate))
	}
	ok(t, in.KillLeftovers())
	freeMemory(t, in)
}

// freeMemory removes what a killed postmaster left: its lock file names the System V
// segment in its seventh line (src/include/utils/pidfile.h, 13 to 18).
func freeMemory(t *testing.T, in *postgres.Instance) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(in.Data, "postmaster.pid"))
	if err != nil {
		return // it ended in good order
	}
	var key, id int
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 {
		return
	}
	if n, _ := fmt.Sscan(lines[6], &key, &id); n == 2 {
		_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), 0 /* IPC_RMID */, 0)
	}
}

// started starts PostgreSQL as it is.
func started(t *testing.T, h *Hands) (pid int) {
	t.Helper()
	_, err := h.Postgres.Start(postgres.StartOptions{})
	ok(t, err)
	ok(t, h.Postgres.WaitReady(within(t)))
	look(h)
	return h.Board.Read().PID
}

func crashed(t *testing.T, h *Hands) {
	t.Helper()
	ok(t, h.Postgres.Kill(started(t, h)))
	eventually(t, "the postmaster has gone", func() bool { look(h); return h.Board.Read().PID == 0 })
	ok(t, h.Postgres.KillLeftovers())
}

func freeze(t *testing.T, pid int) {
	t.Helper()
	if pid <= 0 {
		t.Fatal("there is no process to freeze")
	}
	ok(t, syscall.Kill(pid, syscall.SIGSTOP))
}

func control(t *testing.T, h *Hands) postgres.Control {
	t.Helper()
	c, err := h.Postgres.Control()
	ok(t, err)
	return c
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return string(b)
}

// waitsForStandby tells whether postgresql.conf has commits wait for server2.
func waitsForStandby(t *testing.T, h *Hands) bool {
	t.Helper()
	names, active := pgconf.Parse([]byte(content(t, h.Config.Server.ConfigFile))).Get(settings.SyncNames)
	return active && names == "server2"
}

var errPlanned = errors.New("planned")
