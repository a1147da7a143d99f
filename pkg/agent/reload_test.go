package agent

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
)

// logged keeps what is logged, which everything told is.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	at   string // what is told when then is called, once
	then func()
}

func (s *logged) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.then != nil && strings.Contains(string(p), s.at) {
		s.then()
		s.then = nil
	}
	return s.text.Write(p)
}

// when has something done before whoever tells goes on.
func (s *logged) when(told string, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.then = told, then
}

func (s *logged) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// reloading is a supervisor that watches real files.
func reloading(t *testing.T) (*Agent, *logged) {
	t.Helper()
	c, _ := mcdir(t)
	pairs, err := config.Encode(c.Pair)
	ok(t, err)
	c.Server.BinDirectory, c.Server.Postgres.SocketDirectory, c.Server.Postgres.Port, c.Server.Replication.User = "/bin", c.Dir, 5432, "r"
	server, err := config.Encode(c.Server)
	ok(t, err)
	ok(t, os.WriteFile(c.Path(config.PairFile), pairs, 0o600))
	ok(t, os.WriteFile(c.Path(config.ServerFile), server, 0o600))
	c, err = config.Load(c.Dir)
	ok(t, err)
	told := &logged{}
	a, err := assemble(Options{Config: c, Log: slog.New(slog.NewTextHandler(told, nil)), Version: "test"})
	ok(t, err)
	a.group.start(context.Background())
	a.group.run("reload", a.watchOwnFiles)
	t.Cleanup(func() {
		a.group.stop(errDone)
		if err := a.part(); err != nil {
			t.Error(err)
		}
		a.journal.close()
	})
	return a, told
}

// edit replaces a file by a rename, as editors do. It is repeated, since the watch may
// not have begun yet.
func edit(t *testing.T, a *Agent, told *logged, file, old, now, wants string) {
	t.Helper()
	path := a.config.Path(file)
	b, err := os.ReadFile(path)
	ok(t, err)
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s has no %q:\n%s", file, old, b)
	}
	text := strings.Replace(string(b), old, now, 1)
	last := time.Time{}
	eventually(t, wants, func() bool {
		if time.Since(last) > time.Second {
			last = time.Now()
			ok(t, os.WriteFile(path+"~", []byte(text), 0o600))
			ok(t, os.Rename(path+"~", path))
		}
		return told.has(wants)
	})
}

func TestReload(t *testing.T) {
	a, told := reloading(t)
	edit(t, a, told, config.PairFile, "failover = true", "failover = false", "pair.toml: policy.failover: true -> false (in force)")
	eventually(t, "failover is off on the board", func() bool { return a.board.Read().FailoverOff })
	if a.config.Policy().Failover || !a.config.Pair.Policy.Failover {
		t.Errorf("in force: %v, as loaded: %v", a.config.Policy().Failover, a.config.Pair.Policy.Failover)
	}
	edit(t, a, told, config.PairFile, `commit_stall_max = "2s"`, `commit_stall_max = "3s"`, `timings.commit_stall_max: \"2s\" -> \"3s\" (in force)`)
	if got := a.limits.now().CommitStallMax; got != 3*time.Second {
		t.Errorf("the board goes by %s", got)
	}
	edit(t, a, told, config.ServerFile, "port = 5432", "port = 5433", "server.toml: postgres.port: 5432 -> 5433 (waits for a restart of the supervisor)")
	if a.config.Server.Postgres.Port != 5432 || !told.has("mcctl stop --mc-only -M "+a.config.Dir) {
		t.Errorf("port %d is in force, or nothing is said of how to bring it into force", a.config.Server.Postgres.Port)
	}
}

func TestReloadRefusesWhatIsInvalid(t *testing.T) {
	a, told := reloading(t)
	edit(t, a, told, config.PairFile, `commit_stall_max = "2s"`, "commit_stall_max = \"1ms\"\nnonsense = 1", "the configuration is refused, the one in force stays")
	for _, problem := range []string{"pair.toml:", "timings.nonsense: is not a known key", "timings.commit_stall_max"} {
		if !told.has(problem) {
			t.Errorf("nothing is said of %s", problem)
		}
	}
	if got := a.config.Timings().CommitStallMax.Duration; got != 2*time.Second {
		t.Errorf("commit_stall_max is %s", got)
	}
	warned := func() bool { return strings.Contains(strings.Join(a.status().Warnings, "\n"), "is refused") }
	if !warned() {
		t.Error("the status does not say so")
	}
	edit(t, a, told, config.PairFile, "commit_stall_max = \"1ms\"\nnonsense = 1", `commit_stall_max = "2s"`, "the configuration was read again: it is the one in force")
	if warned() {
		t.Error("the status still says so")
	}
}

// Timings that wait for a restart may contradict those that need not: then all wait.
func TestReloadAppliesNothingHalf(t *testing.T) {
	a, told := reloading(t)
	edit(t, a, told, config.PairFile, `poll_interval = "250ms"`, `poll_interval = "50ms"`, "timings.poll_interval")
	edit(t, a, told, config.PairFile, `commit_stall_max = "2s"`, `commit_stall_max = "100ms"`, `timings.commit_stall_max: \"2s\" -> \"100ms\" (waits for a restart of the supervisor)`)
	if got := a.config.Timings().CommitStallMax.Duration; got != 2*time.Second {
		t.Errorf("commit_stall_max is %s while poll_interval is %s", got, a.config.Timings().PollInterval)
	}
}

func TestReloadOnHangup(t *testing.T) {
	a, told := reloading(t)
	a.board.Note(func(s *board.Sight) { s.FailoverOff = true })
	caught := make(chan os.Signal, 1) // until the supervisor listens the signal would end the test
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	last := time.Time{}
	eventually(t, "the files are read on SIGHUP", func() bool {
		if time.Since(last) > time.Second {
			last = time.Now()
			ok(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		}
		return told.has("SIGHUP: reading the configuration again") && told.has("it is the one in force")
	})
	eventually(t, "the board is right again", func() bool { return !a.board.Read().FailoverOff })
}

func TestReloadThroughLinks(t *testing.T) {
	a, told := reloading(t)
	store := filepath.Join(t.TempDir(), "1")
	ok(t, os.Mkdir(store, 0o700))
	path := a.config.Path(config.PairFile)
	text, err := os.ReadFile(path)
	ok(t, err)
	target := filepath.Join(store, config.PairFile)
	ok(t, os.WriteFile(target, []byte(strings.Replace(string(text), "failover = true", "failover = false", 1)), 0o600))
	told.when("policy.failover: true -> false", func() { // at once, before anything else is done
		ok(t, os.WriteFile(target+"~", text, 0o600))
		ok(t, os.Rename(target+"~", target))
	})
	last := time.Time{}
	eventually(t, "a link is noticed", func() bool {
		if time.Since(last) > time.Second {
			last = time.Now()
			ok(t, os.Symlink(target, path+"~"))
			ok(t, os.Rename(path+"~", path))
		}
		return told.has("policy.failover: true -> false")
	})
	eventually(t, "a change behind the link is noticed", func() bool { return told.has("policy.failover: false -> true") })
}

// A management directory that is reached by a link has two names, and the kernel tells of one.
func TestADirectoryOfTwoNamesIsWatched(t *testing.T) {
	c, _ := mcdir(t)
	ok(t, os.WriteFile(c.Path(config.PairFile), nil, 0o600))
	link := filepath.Join(t.TempDir(), "link")
	ok(t, os.Symlink(c.Dir, link))
	c.Dir = link
	a := newAgent(t, c)
	watch, err := newFileWatch(func(fsnotify.Event) bool { return true })
	ok(t, err)
	defer watch.close()
	done := make(chan bool, 1)
	go func() { a.watchOwnDirectories(watch); done <- true }()
	received(t, done)
	ok(t, os.WriteFile(c.Path(config.PairFile), nil, 0o600))
	received(t, watch.changed)
}

func TestSystemdHearsOfReloads(t *testing.T) {
	l := systemd(t, filepath.Join(t.TempDir(), "notify"), 0)
	n := newNotifier()
	n.reloading(func() {})
	if got := told(t, l); len(got) != 0 {
		t.Errorf("before it is ready: %q", got)
	}
	n.turn(true)
	_ = told(t, l)
	n.reloading(func() {
		got := told(t, l)
		if len(got) != 1 || !strings.HasPrefix(got[0], "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("at the beginning: %q", got)
		}
	})
	if got := told(t, l); !same(got, "READY=1") {
		t.Errorf("at the end: %q", got)
	}
}
