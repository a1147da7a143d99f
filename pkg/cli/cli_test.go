package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// asMcctl makes this test binary behave as mcctl: the commands that start
// themselves again in the background start it.
const asMcctl = "MCCTL_TEST_AS_MCCTL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asHung); dir != "" {
		hang(dir)
	}
	if os.Getenv(asMcctl) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	env := &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Euid: os.Geteuid, Executable: os.Executable, Version: "test",
	}
	os.Exit(Main(ctx, env, os.Args[1:]))
}

// shot is what came of one command.
type shot struct {
	status         exitStatus
	stdout, stderr string
}

func (s shot) String() string {
	return fmt.Sprintf("exit status %d\n--- stdout\n%s--- stderr\n%s", s.status, s.stdout, s.stderr)
}

// wants checks the exit status and that each text is somewhere in the output.
func (s shot) wants(t *testing.T, status exitStatus, texts ...string) {
	t.Helper()
	if s.status != status {
		t.Errorf("want exit status %d, got:\n%s", status, s)
	}
	for _, text := range texts {
		if !strings.Contains(s.stdout+s.stderr, text) {
			t.Errorf("want %q in the output, got:\n%s", text, s)
		}
	}
}

func testEnv(out, complaints *bytes.Buffer) *Env {
	return &Env{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: complaints,
		Getenv: func(string) string { return "" }, Euid: os.Geteuid, Executable: os.Executable, Version: "test",
	}
}

func mcctl(ctx context.Context, args ...string) shot {
	var out, complaints bytes.Buffer
	status := Main(ctx, testEnv(&out, &complaints), args)
	return shot{exitStatus(status), out.String(), complaints.String()}
}

// newMcdir is short, because a socket's path must be.
func newMcdir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, below := range []string{"run", "log"} {
		if err := os.Mkdir(filepath.Join(dir, below), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pidOf is a process that a test may look at.
func pidOf(t *testing.T, find finder, mcdir string) int {
	t.Helper()
	pid, err := find(mcdir)
	if err != nil {
		t.Error(err)
	}
	return pid
}

// sends gives a process a signal, but never the tests themselves, which is what 0 means.
func sends(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid == 0 {
		t.Fatal("there is no such process")
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// supervisor answers on a real control socket what a test has written for it.
type supervisor struct {
	mcdir string
	stop  func()

	mu      sync.Mutex
	answers map[string]func(json.RawMessage) (any, error)
	asked   []string
}

func newSupervisor(t *testing.T, st wire.Status) *supervisor {
	t.Helper()
	s := &supervisor{mcdir: newMcdir(t), answers: map[string]func(json.RawMessage) (any, error){}}
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return st, nil })
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

// start begins to answer; stop is as if the supervisor had died.
func (s *supervisor) start(t *testing.T) {
	t.Helper()
	var ln net.Listener
	ln, err := wire.ListenUnix(socketOf(s.mcdir), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- wire.Serve(ctx, ln, s) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// startAgain has a watch, which starts it in a moment.
func (s *supervisor) startAgain(t *testing.T) {
	t.Helper()
	release, err := claim(watchFile(s.mcdir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	time.AfterFunc(200*time.Millisecond, func() { s.start(t) })
}

func (s *supervisor) on(kind string, answer func(json.RawMessage) (any, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[kind] = answer
}

func (s *supervisor) count(kind string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.asked {
		if k == kind {
			n++
		}
	}
	return n
}

func (s *supervisor) Handle(_ context.Context, _ wire.Identity, kind string, body json.RawMessage) (any, error) {
	s.mu.Lock()
	s.asked = append(s.asked, kind)
	answer := s.answers[kind]
	s.mu.Unlock()
	if answer == nil {
		return nil, fmt.Errorf("no answer to %s was written for this test", kind)
	}
	return answer(body)
}

func (s *supervisor) Gone(wire.Identity)                     {}
func (s *supervisor) Beat(wire.Identity, time.Duration) bool { return false }

// everyCommand visits the whole tree.
func everyCommand(visit func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		visit(c)
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	var out bytes.Buffer
	walk(New(testEnv(&out, &out)))
}

func TestEveryCommandExplainsItself(t *testing.T) {
	everyCommand(func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no short description", c.CommandPath())
		}
		if c.Hidden || c.HasSubCommands() {
			return
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if help := c.UsageString(); !strings.Contains(help, "3  still going on") {
			t.Errorf("the help of %s does not list the exit statuses:\n%s", c.CommandPath(), help)
		}
	})
}

func TestMcdirIsFoundOrAsked(t *testing.T) {
	dir := newMcdir(t)
	got := ""
	take := func(_ context.Context, _ *Env, o *explainOptions) error { got = o.Mcdir; return nil }
	run := func(variable string, args ...string) error {
		var out bytes.Buffer
		env := testEnv(&out, &out)
		env.Getenv = func(name string) string {
			if name == "MCCONTROLDIR" {
				return variable
			}
			return ""
		}
		cmd := newExplain(env, take)
		cmd.SetArgs(append([]string{}, args...))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return cmd.Execute()
	}
	if err := run("/nowhere", "-M", dir); err != nil || got != dir {
		t.Errorf("-M %s: took %q, %v", dir, got, err)
	}
	if err := run(dir); err != nil || got != dir {
		t.Errorf("MCCONTROLDIR=%s: took %q, %v", dir, got, err)
	}
	mcctl(t.Context(), "explain").wants(t, exitUsage, "no management directory was named", "give -M DIR, or set the environment variable MCCONTROLDIR")
	mcctl(t.Context(), "explain", "-M", dir+"/none").wants(t, exitUsage, "does not exist")
}

func TestMisuseIsToldFromFailure(t *testing.T) {
	dir := newMcdir(t)
	for _, args := range [][]string{
		{"statu"},
		{"arbiter"},
		{"arbiter", "begin"},
		{"status", "--nonsense", "-M", dir},
		{"status", "-o", "yaml", "-M", dir},
		{"status", "word", "-M", dir},
		{"start", "-f", "-F", "-M", dir},
		{"start", "-w", "-W", "-M", dir},
		{"stop", "-a", "-e", "-M", dir},
		{"switch", "word", "-M", dir},
		{"switch", "--cancel", "--status", "-M", dir},
		{"lab", "up"},
		{"lab", "up", "/tmp/x", "--pg", "nonsense"},
		{"probe"},
		{"start", "-M", dir}, // no configuration there
	} {
		got := mcctl(t.Context(), args...)
		if got.status != exitUsage || !strings.HasPrefix(got.stderr, "mcctl: ") || !strings.Contains(got.stderr, "\nhint: ") {
			t.Errorf("mcctl %s: want exit status 2 with a hint, got:\n%s", strings.Join(args, " "), got)
		}
	}
	mcctl(t.Context(), "statu").wants(t, exitUsage, "did you mean status?")
	mcctl(t.Context()).wants(t, exitDone, "Available Commands")
	mcctl(t.Context(), "version").wants(t, exitDone, "mcctl test (go")
}

func TestWithoutSupervisor(t *testing.T) {
	dir := newMcdir(t)
	for _, command := range []string{"stop", "status", "switch", "detach", "attach", "enable-failover", "disable-failover", "explain"} {
		mcctl(t.Context(), command, "-M", dir).wants(t, exitNotRunning, "no supervisor is running here")
	}
	mcctl(t.Context(), "arbiter", "status", "-M", dir).wants(t, exitNotRunning, "no arbiter is running here")
	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitNotRunning, "no arbiter is running here")
}

func TestRequests(t *testing.T) {
	s := newSupervisor(t, wire.Status{})
	s.on(wire.KindDetach, func(json.RawMessage) (any, error) { return wire.Done{Note: "server2 is detached"}, nil })
	s.on(wire.KindAttach, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("not now: %w", wire.ErrRefused) })
	mcctl(t.Context(), "detach", "-M", s.mcdir).wants(t, exitDone, "server2 is detached\n")
	mcctl(t.Context(), "attach", "-M", s.mcdir).wants(t, exitRefused, "mcctl: attach: not now", "nothing was changed")
	s.on(wire.KindAttach, func(json.RawMessage) (any, error) { return nil, fmt.Errorf("ask server1: %w", wire.ErrNoAnswer) })
	mcctl(t.Context(), "attach", "-M", s.mcdir).wants(t, exitFailed, "whether it happened is not known")
	s.on(wire.KindAttach, func(json.RawMessage) (any, error) {
		if s.count(wire.KindAttach) < 5 {
			return nil, fmt.Errorf("attach server2: %w, not within 30s", wire.ErrNotYet)
		}
		return wire.Done{Note: "server2 is attached"}, nil
	})
	mcctl(t.Context(), "attach", "-M", s.mcdir).wants(t, exitDone, "server2 is attached\n")
	s.on(wire.KindAttach, func(json.RawMessage) (any, error) {
		time.Sleep(10 * time.Millisecond)
		return nil, fmt.Errorf("attach server2: %w", wire.ErrNotYet)
	})
	mcctl(t.Context(), "attach", "--timeout", "100ms", "-M", s.mcdir).wants(t, exitGoingOn, "not complete after 100ms; it goes on")

	both := true
	var bodies []string
	s.on(wire.KindFailover, func(body json.RawMessage) (any, error) {
		bodies = append(bodies, string(body))
		return wire.FailoverAnswer{Both: both, Other: "server2 is not reached"}, nil
	})
	mcctl(t.Context(), "enable-failover", "-M", s.mcdir).wants(t, exitDone, "enabled on both servers")
	both = false
	mcctl(t.Context(), "disable-failover", "-M", s.mcdir).wants(t, exitFailed, "disabled on this server only", "server2 is not reached")
	if want := []string{`{"on":true}`, `{"on":false}`}; !slices.Equal(bodies, want) {
		t.Errorf("asked %v, want %v", bodies, want)
	}
}
