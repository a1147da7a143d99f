package pair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func newFencing(t *testing.T) *stage {
	s := newStage(t, lab.Options{Arbiter: "command", Profile: "tight"})
	s.until("server2 was told that they are paired", two, func(st wire.Status) bool { return st.Healthy })
	return s
}

// order has a script of a server do this first.
func (s *stage) order(of pair.Server, command, text string) {
	s.Helper()
	if err := os.WriteFile(s.lab.Order(of, command), []byte(text+"\n"), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) killServer(of pair.Server) {
	s.Helper()
	var p lab.ServerPids
	s.eventually("all processes of "+string(of)+" run", func() bool {
		p = s.lab.Pids().Servers[of]
		return p.Watch != 0 && p.Supervisor != 0 && p.Postmaster != 0
	})
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
}

// startAlone starts a supervisor and does not wait for anything.
func (s *stage) startAlone(of pair.Server) {
	s.Helper()
	if err := s.lab.Start(s.Context(), of, "-W"); err != nil {
		s.Fatal(err)
	}
}

// journalTells: a line of the journal tells of this call.
func (s *stage) journalTells(on pair.Server, line string) {
	s.Helper()
	if out := s.mcctl("events", "-M", s.lab.Mcdir(on)); !strings.Contains(out, line) {
		s.Errorf("the events of %s lack %s:\n%s", on, line, out)
	}
}

func alone(primary pair.Server) func(wire.Status) bool {
	return func(st wire.Status) bool { return st.Record.Primary == primary && st.Record.Mode == pair.Alone }
}

// The primary's server dies: it is arbitrated, fenced and replaced, and comes back.
func TestADeadPrimaryIsFencedAndReplaced(t *testing.T) {
	s := newFencing(t)
	s.killServer(one)
	s.promised(time.Second, "server2 took over", two, alone(two))
	s.flowing()
	s.journalTells(two, `command arbitration ["server2" "server1" "primarycenter"]: exit status 0`)
	s.journalTells(two, `command fencing ["monitor" "switch" "server2" "server1" "primarycenter"]: exit status 0`)
	s.startAlone(one)
	s.paired(two)
}

// Neither a command that fails nor one that hangs leads to a promotion.
func TestNobodyIsPromotedWithoutFencing(t *testing.T) {
	s := newFencing(t)
	s.order(two, "fencing", "exit 3")
	s.killServer(one)
	st := s.until("the failure is told", two, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "fencing server1 failed: exit status 3")
	})
	if st.Record.Primary != one || !strings.Contains(st.NextStep, "mcctl switch --force --no-fencing") {
		t.Errorf("%s: %s", st.Record, st.NextStep)
	}
	s.order(two, "arbitration", "exit 1")
	s.until("the arbitration's no is told", two, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "the arbitration command does not say that server1 is dead") && st.Record.Primary == one
	})
	for _, command := range []string{"arbitration", "fencing"} {
		if err := os.Remove(s.lab.Order(two, command)); err != nil {
			t.Fatal(err)
		}
	}
	s.until("it is tried again and server2 takes over", two, alone(two))
	s.flowing()
	s.startAlone(one)
	s.paired(two)
}

// The standby's server dies: it is fenced before the primary goes alone.
func TestALostStandbyIsFencedBeforeThePrimaryGoesAlone(t *testing.T) {
	s := newFencing(t)
	s.killServer(two)
	s.promised(time.Second, "server1 went alone", one, alone(one))
	s.flowing()
	s.journalTells(one, `command fencing ["monitor" "detach" "server1" "server2" "primarycenter"]: exit status 0`)
	s.startAlone(two)
	s.paired(one)
}

// A standby that cannot be fenced, and that an operator has found off: he must say so.
func TestAnOperatorSaysThatTheStandbyIsOff(t *testing.T) {
	s := newFencing(t)
	s.order(one, "fencing", "exit 3")
	s.killServer(two)
	s.until("what to do is told", one, func(st wire.Status) bool { return strings.Contains(st.NextStep, "mcctl detach --standby-is-off") })
	out, err := s.try("detach", "--no-fencing", "-M", s.lab.Mcdir(one))
	if exitOf(err) != 4 || !strings.Contains(out, "--standby-is-off") {
		t.Errorf("nobody is fenced, and nobody says that the standby is off: %v\n%s", err, out)
	}
	s.mcctl("detach", "--standby-is-off", "-M", s.lab.Mcdir(one))
	s.until("server1 went alone", one, alone(one))
	s.flowing()
	if err := os.Remove(s.lab.Order(one, "fencing")); err != nil {
		t.Fatal(err)
	}
	s.startAlone(two)
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
	if out, err := s.try("detach", "--standby-is-off", "-M", s.lab.Mcdir(one)); exitOf(err) != 4 || !strings.Contains(out, "is reached, so it is not off") {
		t.Errorf("a standby that is reached counts as off: %v\n%s", err, out)
	}
}

// A standby that stops gives its word: nobody is fenced.
func TestAStandbyThatStopsGivesItsWord(t *testing.T) {
	s := newFencing(t)
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	s.until("server1 went alone", one, alone(one))
	s.flowing()
	if out := s.mcctl("events", "-M", s.lab.Mcdir(one)); strings.Contains(out, "command fencing") {
		t.Errorf("somebody was fenced:\n%s", out)
	}
	s.startAlone(two)
	s.paired(one)
}

// Both servers restart one after the other without meeting: neither does anything by
// itself, and when both are back they go on.
func TestWhoHasNotMetTheOtherWaits(t *testing.T) {
	s := newFencing(t)
	s.order(one, "fencing", "exit 3") // so that server1 does not go alone meanwhile
	s.killServer(two)
	s.killServer(one)
	s.startAlone(two)
	s.until("server2 says that it was not told", two, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "has not told this server since its start") && st.Record.Primary == one
	})
	s.killServer(two)
	if err := os.Remove(s.lab.Order(one, "fencing")); err != nil { // a call that outlived its supervisor has read it by now
		t.Fatal(err)
	}
	s.startAlone(one)
	s.until("server1 says that it must meet server2", one, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "has not met the other one since") && st.Record.Mode == pair.Paired
	})
	for _, of := range []pair.Server{one, two} {
		if b, err := os.ReadFile(filepath.Join(s.lab.Mcdir(of), "log", "events.jsonl")); err != nil || strings.Contains(string(b), "fencing [\\\"monitor\\\" \\\"switch\\\"") {
			t.Errorf("%s fenced for a switch: %v\n%s", of, err, b)
		}
	}
	s.startAlone(two) // server1 may open, or hand over to what is up before it
	s.until("the pair is whole", one, func(st wire.Status) bool { return st.Healthy })
	s.flowing()
}

// A primary that waits for a server that is gone for good is forced by an operator.
func TestAnOperatorForcesAWaitingPrimary(t *testing.T) {
	s := newFencing(t)
	s.order(one, "fencing", "exit 3")
	s.killServer(two)
	s.killServer(one)
	s.startAlone(one)
	s.until("server1 waits", one, func(st wire.Status) bool { return strings.Contains(st.NextStep, "mcctl switch --force --no-fencing") })
	s.mcctl("switch", "--force", "--yes", "--no-fencing", "-M", s.lab.Mcdir(one))
	s.flowing()
	s.startAlone(two)
	s.paired(one)
}

// The same while it is open: its supervisor alone was restarted, as for a fencing command that
// was mended, and commits hang.
func TestAnOperatorForcesAPrimaryWhoseCommitsHang(t *testing.T) {
	s := newFencing(t)
	s.order(one, "fencing", "exit 3")
	s.killServer(two)
	s.until("server1 could not fence", one, func(st wire.Status) bool { return strings.Contains(st.NextStep, "fencing server2 failed") })
	s.mcctl("stop", "--mc-only", "-M", s.lab.Mcdir(one))
	s.startAlone(one)
	s.until("server1 waits, and is open", one, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "mcctl switch --force --no-fencing") && st.Servers[0].Postgres == wire.ReportOpen
	})
	out, err := s.try("detach", "--standby-is-off", "-M", s.lab.Mcdir(one))
	if exitOf(err) != 4 || !strings.Contains(out, "mcctl switch --force --no-fencing") {
		t.Errorf("a detach that cannot be made: %v\n%s", err, out)
	}
	out = s.mcctl("switch", "--force", "--yes", "--no-fencing", "-M", s.lab.Mcdir(one))
	if !strings.Contains(out, "server1 will go on without server2") {
		t.Errorf("what may be lost:\n%s", out)
	}
	s.flowing()
	s.startAlone(two)
	s.paired(one)
}
