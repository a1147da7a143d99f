package pair

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
	"mcctl/pkg/wire"
)

// patience is how long the pair may take for anything; far above what it takes.
const patience = time.Minute

// stage is a lab with writers on it.
type stage struct {
	*testing.T
	lab   *lab.Lab
	probe *probe.Probe
}

// newStage makes a paired lab and starts the writers. At the end of the test no
// acknowledged row may be missing.
func newStage(t *testing.T, opt lab.Options) *stage {
	t.Helper()
	s := newQuietStage(t, opt)
	var err error
	if s.probe, err = probe.Start(t.Context(), probe.Options{
		URI: s.lab.Env()["PGURI"], Interval: 40 * time.Millisecond, Retry: 100 * time.Millisecond, // several tests share two cores
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.judge)
	return s
}

// besides are the tests that run beside others.
var besides sync.Map

// beside lets a test run beside others: most of its time it waits. Parts of a test
// come one after the other.
func beside(t *testing.T) {
	t.Helper()
	if _, already := besides.LoadOrStore(t.Name(), true); !already && !strings.Contains(t.Name(), "/") {
		t.Parallel()
	}
}

// newQuietStage has no writers but those of the test.
func newQuietStage(t *testing.T, opt lab.Options) *stage {
	t.Helper()
	beside(t)
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL does not run as root: use make test")
	}
	opt.Mcctl, opt.BinDir, opt.Template = os.Getenv("MCCTL"), cmp.Or(opt.BinDir, os.Getenv("PG_BIN")), os.Getenv("TEST_CLUSTER")
	if opt.Mcctl == "" {
		t.Fatal("MCCTL does not name the mcctl program: use make test")
	}
	opt.Settings = frugal(opt.Settings)
	var err error
	if opt.Dir, err = os.MkdirTemp("", "mcpair"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if t.Failed() {
			tellLogs(t, opt.Dir)
		}
		if err := lab.Down(ctx, opt.Dir, true); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
		_ = os.Remove(opt.Dir)
	})
	s := &stage{T: t}
	if s.lab, err = lab.Up(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	return s
}

// frugal settings, as several tests share two cores and a disk: here nothing cuts the power.
func frugal(own map[string]string) map[string]string {
	settings := map[string]string{"fsync": "off", "wal_init_zero": "off", "shared_buffers": "16MB", "autovacuum": "off"}
	maps.Copy(settings, own)
	return settings
}

func tellLogs(t *testing.T, dir string) {
	for _, of := range []string{"server1", "server2", "arbiter"} {
		for name, most := range map[string]int{"mcctl.log": 60, "postgresql.log": 15} {
			b, _ := os.ReadFile(dir + "/" + of + "/mcdir/log/" + name)
			lines := strings.Split(string(b), "\n")
			t.Logf("%s, %s:\n%s", of, name, strings.Join(lines[max(0, len(lines)-most):], "\n"))
		}
	}
}

func (s *stage) judge() {
	r, err := s.probe.Stop()
	switch {
	case err != nil:
		s.Errorf("writers: %v", err)
	case !r.Safe():
		s.Errorf("writers: %s", r.Verdict())
	}
}

// mcctl runs a command that must succeed.
func (s *stage) mcctl(args ...string) string {
	s.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.Fatalf("mcctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *stage) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.lab.Mcctl(), args...).CombinedOutput()
	return string(out), err
}

// status as the supervisor of one server tells it.
func (s *stage) status(of pair.Server) (wire.Status, error) {
	return s.lab.Ask(context.Background(), of)
}

// until waits until what a server's supervisor tells meets the condition.
func (s *stage) until(what string, of pair.Server, met func(wire.Status) bool) wire.Status {
	s.Helper()
	var st wire.Status
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		if st, err = s.status(of); err == nil && met(st) {
			return st
		}
	}
	last, _ := json.Marshal(st)
	s.Fatalf("not within %s: %s; last: %s, %v", patience, what, last, err)
	return st
}

// promised is until where docs/guarantees.md has a bound. It is met if that took less than
// four times as long and two seconds, as on the hosts of test/hosts: machines are busy.
func (s *stage) promised(bound time.Duration, what string, of pair.Server, met func(wire.Status) bool) wire.Status {
	s.Helper()
	began := time.Now()
	st := s.until(what, of, met)
	if took := time.Since(began); took > 4*bound+2*time.Second {
		s.Errorf("%s: after %s, and promised was %s", what, took, bound)
	} else {
		s.Logf("%s: after %s of %s", what, took, bound)
	}
	return st
}

// paired waits until the pair is whole again with this primary.
func (s *stage) paired(primary pair.Server) wire.Status {
	s.Helper()
	return s.until("paired under "+string(primary), primary, func(st wire.Status) bool { return st.Healthy && st.Record.Primary == primary })
}

// flowing waits until writes have flowed without a break for a moment.
func (s *stage) flowing() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.probe.WaitCalmFromNow(ctx, 300*time.Millisecond); err != nil {
		s.Fatalf("writes do not flow: %v", err)
	}
}

func (s *stage) kill(pids ...int) {
	s.Helper()
	for _, pid := range pids {
		if pid == 0 {
			s.Fatal("there is no such process to kill")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.Fatalf("kill %d: %v", pid, err)
		}
	}
}

func (s *stage) conf(of pair.Server) string {
	s.Helper()
	b, err := os.ReadFile(s.lab.Data(of) + "/postgresql.conf")
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// hasLine looks for a line of postgresql.conf; what the site wrote behind the value
// stays there.
func (s *stage) hasLine(of pair.Server, line string) {
	s.Helper()
	if !strings.Contains("\n"+s.conf(of), "\n"+line) {
		s.Errorf("postgresql.conf of %s lacks the line %s", of, line)
	}
}
