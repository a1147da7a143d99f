package pair

import (
	"os/exec"
	"path/filepath"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// A PostgreSQL that was left down stays so, over the death of the supervisor too, and a
// start says what to do. Once somebody has started it, it is looked after: also when
// supervisor and postmaster die together.
func TestAServerThatWasLeftDownIsLookedAfterOnceItWasStarted(t *testing.T) {
	s := newStage(t, lab.Options{})
	mcdir := s.lab.Mcdir(two)
	s.mcctl("stop", "-M", mcdir)
	s.mcctl("start", "--mc-only", "-M", mcdir)
	left := func(st wire.Status) bool { return st.LeftDown && st.Servers[1].Postgres == wire.ReportDown }
	s.until("PostgreSQL is left down", two, left)
	first := s.lab.Pids().Servers[two].Supervisor
	s.kill(first)
	s.until("the next supervisor leaves it down", two, func(st wire.Status) bool {
		return left(st) && s.lab.Pids().Servers[two].Supervisor != first
	})
	if out, err := s.try("start", "-M", mcdir); exitStatus(err) != 4 {
		t.Errorf("a start that starts nothing: %v\n%s", err, out)
	}
	start := exec.Command(filepath.Join(s.lab.BinDir(), "pg_ctl"), "-D", s.lab.Data(two), "-l", filepath.Join(mcdir, "log", "postgresql.log"), "-w", "start")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.paired(one)
	pids := s.lab.Pids().Servers[two]
	s.kill(pids.Supervisor, pids.Postmaster)
	s.until("server2 is away", one, func(st wire.Status) bool { return !st.Healthy })
	s.paired(one)
	s.flowing()
}
