package check_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
)

// supervised are the checks that only the supervisors can answer, in an order in
// which each leaves the pair as the next one needs it.
func supervised() []spoiled {
	toggle := func(away, back string) func(*stage) func() {
		return func(s *stage) func() {
			s.mcctl(away, "-M", s.lab.Mcdir(one))
			return func() { s.mcctl(back, "-M", s.lab.Mcdir(one)) }
		}
	}
	return []spoiled{
		{id: "failover-enabled", on: one, spoil: toggle("disable-failover", "enable-failover")},
		{id: "watch", on: two, spoil: unwatched},
		{id: "paired", on: one, spoil: toggle("detach", "attach")},
		{id: "arbiter-reached", on: two, spoil: func(s *stage) func() {
			s.mcctl("arbiter", "stop", "-M", s.lab.ArbiterDir())
			return func() { s.mcctl("arbiter", "start", "-M", s.lab.ArbiterDir()) }
		}},
		{id: "peer-reached", on: one, spoil: func(s *stage) func() {
			s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(two))
			return func() { s.mcctl("start", "-M", s.lab.Mcdir(two)) }
		}},
		{id: "postgres-runs", on: two, spoil: stopped},
		{id: "streaming", on: one, spoil: stopped},
		{id: "disk", on: one, bend: func(s *check.Scene) { s.Here.Supervisor.DiskError = "no answer for 5s" }},
	}
}

// stopped is a standby whose PostgreSQL went down and does not come up again.
func stopped(s *stage) func() {
	back := s.edit(s.conf[two].Server.ConfigFile, func(old string) string { return old + "nonsense.\n" })
	s.program("pg_ctl", "-D", s.lab.Data(two), "-w", "-m", "fast", "stop")
	return back
}

// unwatched is a supervisor whose watch was killed. The mend is what the finding says.
func unwatched(s *stage) func() {
	if err := syscall.Kill(s.lab.Pids().Servers[two].Watch, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	return func() {
		s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(two))
		s.mcctl("start", "-M", s.lab.Mcdir(two))
	}
}

// TestSupervised asks the command, as an operator does.
func TestSupervised(t *testing.T) {
	s := newStage(t)
	t.Parallel()
	r := s.asks()
	if len(r.Findings) != 0 || len(r.NotLooked) != 0 {
		t.Errorf("a new lab has findings: %+v, not looked at: %+v", r.Findings, r.NotLooked)
	}
	for _, a := range check.Abilities() {
		wantsVerdict(t, r, a, check.Yes)
	}
	for _, c := range supervised() {
		if c.spoil == nil {
			continue
		}
		t.Run(c.id, func(t *testing.T) {
			s := &stage{T: t, lab: s.lab, conf: s.conf}
			mend := c.spoil(s)
			s.eventually("it is found", func() bool { return s.found(s.asks(), c.id, c.on) })
			if c.id == "peer-reached" {
				s.theOtherIsNotSeen()
			}
			if c.id == "paired" {
				wantsVerdict(t, s.asks(), check.Failover, check.No)
			}
			mend()
			s.eventually("it is clean after", func() bool { return !s.found(s.asks(), c.id, c.on) && s.status(one).Healthy })
		})
	}
	s.nobodySupervises()
	s.eventually("the pair is whole again", func() bool { return s.status(one).Healthy })
	s.Run("switch", func(t *testing.T) { (&stage{T: t, lab: s.lab, conf: s.conf}).previews() })
}

// theOtherIsNotSeen: what could not be looked at is not fine.
func (s *stage) theOtherIsNotSeen() {
	s.Helper()
	r := s.asks()
	for _, n := range r.NotLooked {
		if n.Server == two && slices.Contains(n.IDs, "fsync") {
			wantsVerdict(s.T, r, check.Failover, check.No)
			wantsVerdict(s.T, r, check.Switch, check.No)
			return
		}
	}
	s.Errorf("nothing is told of what was not looked at: %+v", r.NotLooked)
}

// nobodySupervises: with the supervisors gone the command looks at its own server.
func (s *stage) nobodySupervises() {
	s.Helper()
	s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(one))
	r := s.asks()
	if len(r.Findings) != 0 {
		s.Errorf("findings: %+v", r.Findings)
	}
	for _, a := range check.Abilities() {
		wantsVerdict(s.T, r, a, check.Unknown)
	}
	if r.Clean < 30 {
		s.Errorf("only %d checks were judged without a supervisor", r.Clean)
	}
	s.mcctl("start", "-M", s.lab.Mcdir(one))
}

func wantsVerdict(t *testing.T, r check.Report, a check.Ability, works string) {
	t.Helper()
	for _, v := range r.Verdicts {
		if v.Ability == a && v.Works != works {
			t.Errorf("%s: %s because of %v, want %s; findings %+v", a, v.Works, v.Because, works, r.Findings)
		}
	}
}

// A failing disk cannot be had here; the check must not depend on the words.
func TestFailingDisk(t *testing.T) {
	side := &check.Side{Server: "server1", Missing: map[check.Area]string{}, Supervisor: &check.Known{DiskError: "no answer"}}
	table := slices.DeleteFunc(check.Table(), func(c check.Check) bool { return c.ID != "disk" })
	r := check.Judge(check.Scene{Here: side, NoAnswer: "not asked"}, table)
	if len(r.Findings) != 1 || r.Findings[0].Server != pair.Server("server1") || len(r.NotLooked) != 1 {
		t.Errorf("%+v", r)
	}
	side.Supervisor.DiskError = ""
	if r := check.Judge(check.Scene{Here: side, There: side}, table); len(r.Findings) != 0 || r.Clean != 2 {
		t.Errorf("%+v", r)
	}
}

// An arbiter that is reached may yet take no change: its disk, its quota, our user's rights.
func TestAnArbiterThatTakesNoChange(t *testing.T) {
	known := &check.Known{Reached: true, ArbiterError: "its disk is full"}
	side := &check.Side{Server: "server1", Missing: map[check.Area]string{}, Supervisor: known, Config: config.Config{}}
	table := slices.DeleteFunc(check.Table(), func(c check.Check) bool { return c.ID != "arbiter-reached" })
	r := check.Judge(check.Scene{Here: side, There: side}, table)
	if len(r.Findings) != 2 || !strings.Contains(r.Findings[0].What, "is reached, but would take no change: its disk is full") {
		t.Errorf("%+v", r)
	}
	wantsVerdict(t, r, check.Failover, check.No)
	known.Reached, known.ArbiterError = false, "the primary server2 holds the record and is not heard" // nobody apart keeps it
	if r := check.Judge(check.Scene{Here: side, There: side}, table); r.Findings[0].What != known.ArbiterError {
		t.Errorf("%+v", r)
	}
	known.Reached, known.ArbiterError = true, ""
	if r := check.Judge(check.Scene{Here: side, There: side}, table); len(r.Findings) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestUnconfigured(t *testing.T) {
	r := check.Unconfigured("/m", fmt.Errorf("server.toml:3: no"))
	if len(r.Findings) != 1 || r.Findings[0].ID != "configuration" || !strings.Contains(r.Findings[0].Mend, "/m") || r.Worst() != check.Error {
		t.Errorf("%+v", r)
	}
	if n := len(r.NotLooked[0].IDs); n != len(check.Table())-1 {
		t.Errorf("%d checks are told as not looked at, of %d", n, len(check.Table()))
	}
	for _, v := range r.Verdicts {
		if v.Works != check.No {
			t.Errorf("%+v", v)
		}
	}
}
