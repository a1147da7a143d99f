package pair

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

const one, two = lab.Server1, lab.Server2

func TestSwitchThereAndBackLeavesTheFilesAsTheyWere(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := map[pair.Server]string{one: s.conf(one), two: s.conf(two)}
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.until("server2 is primary", two, func(st wire.Status) bool { return st.Record.Primary == two && st.Record.Term == 2 })
	s.paired(two)
	s.hasLine(two, "synchronous_standby_names = 'server1'")
	s.mcctl("switch", "-M", s.lab.Mcdir(one)) // from the standby this time
	s.paired(one)
	for server, was := range before {
		if now := s.conf(server); unmanaged(now) != unmanaged(was) {
			t.Errorf("postgresql.conf of %s changed beyond the managed lines:\n%s\nwas:\n%s", server, now, was)
		}
	}
	s.flowing()
}

// unmanaged is the file without the lines that mcctl manages.
func unmanaged(conf string) string {
	var kept []string
	for line := range strings.Lines(conf) {
		name := strings.TrimLeft(line, "#")
		if !strings.HasPrefix(name, "synchronous_standby_names") && !strings.HasPrefix(name, "synchronized_standby_slots") && !strings.HasPrefix(name, "primary_") {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

func TestNewPrimaryIsAloneUntilTheOtherIsBack(t *testing.T) {
	s := newStage(t, lab.Options{})
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor, p.Postmaster) // nobody starts server1 again
	st := s.until("server2 took over", two, func(st wire.Status) bool {
		return st.Record.Primary == two && st.Servers[1].Postgres == wire.ReportOpen && st.Servers[1].Doing == ""
	})
	s.hasLine(two, "#synchronous_standby_names = 'server1'")
	if st.Record.Mode != pair.Alone {
		t.Errorf("the record is %s", st.Record)
	}
	s.flowing()
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.promised(5*time.Second, "paired again", two, func(st wire.Status) bool { return st.Healthy && st.Record.Primary == two })
	s.hasLine(two, "synchronous_standby_names = 'server1'")
}

func TestPostmasterKilledOnEitherServer(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
	if told := s.mcctl("events", "-M", s.lab.Mcdir(one)); !strings.Contains(told, "rejoin") || strings.Contains(told, "retire") {
		t.Errorf("it came back, and had nothing to retire from:\n%s", told)
	}
	s.kill(s.lab.Pids().Servers[one].Postmaster) // the standby's
	s.until("the primary went alone or is whole again", two, func(st wire.Status) bool { return st.Record.Revision > 4 })
	s.flowing()
	s.paired(two)
}

func TestSupervisorsAndWitnessMayDieWithoutAnyChange(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids()
	s.kill(before.Servers[one].Supervisor, before.Servers[two].Supervisor, before.Witness)
	s.flowing()
	st := s.paired(one)
	after := s.lab.Pids()
	if st.Record.Term != 1 || after.Servers[one].Postmaster != before.Servers[one].Postmaster || after.Servers[two].Postmaster != before.Servers[two].Postmaster {
		t.Errorf("something changed: %s, %+v, before %+v", st.Record, after, before)
	}
}

func TestStandbySaysGoodbye(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	st, err := s.status(one)
	if err != nil || st.Record.Mode != pair.Alone {
		t.Errorf("when the standby has stopped: %+v, %v", st, err)
	}
	s.hasLine(one, "#synchronous_standby_names = 'server2'")
	s.flowing()
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.paired(one)
	s.hasLine(one, "synchronous_standby_names = 'server2'")
}

// Without the arbiter the primary could not go on alone: commits would wait for a standby
// that stops.
func TestAStandbyStaysWhereThePrimaryCannotGoOnAlone(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("arbiter", "stop", "-M", s.lab.ArbiterDir())
	s.until("the arbiter is missed", one, func(st wire.Status) bool { return !st.Arbiter.Reached })
	if out, err := s.try("stop", "-M", s.lab.Mcdir(two)); err == nil || !strings.Contains(out, "is not reached, so server1 cannot go on alone and commits would wait; mend that first") {
		t.Errorf("stop: %v\n%s", err, out)
	}
	s.flowing()
	s.mcctl("arbiter", "start", "-M", s.lab.ArbiterDir())
	s.paired(one)
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	s.flowing()
}

func TestDetachHoldsUntilAttach(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("detach", "-M", s.lab.Mcdir(two))
	s.flowing()
	if st, err := s.status(one); err != nil || st.Record.Mode != pair.Alone || !st.Held {
		t.Errorf("detached: %+v, %v", st, err)
	}
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
}

func TestStopOnThePrimaryIsNoFailover(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-M", s.lab.Mcdir(one))
	st := s.until("the primary rests", two, func(st wire.Status) bool { return st.Servers[0].Supervisor == "refused" })
	if st.Record.Primary != one || st.Record.Term != 1 {
		t.Errorf("the standby took over from a primary that was stopped: %s", st.Record)
	}
	s.kill(s.lab.Pids().Servers[two].Supervisor) // it remembers over its own restart
	s.until("the standby's supervisor is back", two, func(st wire.Status) bool { return st.Servers[0].Postgres == "resting" })
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.flowing()
}

func TestStopAndStartOfBoth(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-a", "-M", s.lab.Mcdir(two))
	if p := s.lab.Pids(); p.Servers[one].Postmaster != 0 || p.Servers[two].Postmaster != 0 || p.Servers[one].Supervisor != 0 || p.Servers[two].Supervisor != 0 {
		t.Errorf("after stop -a there is still %+v", p)
	}
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(two)) // the standby first
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("a stop and a start made a failover: %s", st.Record)
	}
	s.flowing()
}

func TestWithFailoverDisabledAPrimaryRestartsInPlaceBehindTheGate(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("disable-failover", "-M", s.lab.Mcdir(one))
	before := s.lab.Pids().Servers[one].Postmaster
	s.kill(before)
	st := s.until("another postmaster is open, and paired", one, func(st wire.Status) bool {
		after := s.lab.Pids().Servers[one].Postmaster
		return after != 0 && after != before && st.Servers[0].Postgres == wire.ReportOpen &&
			st.Record.Primary == one && st.Record.Mode == pair.Paired && st.Servers[1].Postgres == wire.ReportStandby
	})
	s.flowing()
	if st.Record.Term != 1 || st.Healthy || st.Summary != "failover-disabled" {
		t.Errorf("with failover disabled: %+v", st)
	}
	s.mcctl("enable-failover", "-M", s.lab.Mcdir(two))
	s.paired(one)
}

func TestFrozenServerIsReplacedAndComesBack(t *testing.T) {
	s := newStage(t, lab.Options{Profile: "tight"})
	frozen := freeze(t, s.lab.Pids().Servers[one])
	s.promised(800*time.Millisecond, "server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	thaw(t, frozen)
	s.paired(two)
}

func TestWithoutArbiterNobodyTakesOverUnasked(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "none"})
	s.kill(s.lab.Pids().Servers[one].Postmaster) // its supervisor hands over
	s.until("server2 is primary", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.paired(two)
	s.flowing()
	p := s.lab.Pids().Servers[two]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until("server2 is gone", one, func(st wire.Status) bool { return st.Servers[1].Supervisor == "refused" })
	if st, err := s.status(one); err != nil || st.Record.Primary != two {
		t.Errorf("server1 took over without an arbiter: %+v, %v", st.Record, err)
	}
	s.mcctl("switch", "--force", "--yes", "-M", s.lab.Mcdir(one))
	s.flowing()
	if st, err := s.status(one); err != nil || st.Record.Primary != one || !st.Record.Forced {
		t.Errorf("forced: %+v, %v", st.Record, err)
	}
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.paired(one)
}

// Everything that was acknowledged is on the standby: it does not take the primary's data
// to hand over, nor an arbiter.
func TestAPrimaryWhoseDataIsGoneHandsOver(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "none"})
	p := s.lab.Pids().Servers[one]
	signal(t, syscall.SIGSTOP, p.Supervisor) // it sees both at once
	s.kill(p.Postmaster)
	if err := os.Rename(s.lab.Data(one), s.lab.Data(one)+".lost"); err != nil {
		t.Fatal(err)
	}
	signal(t, syscall.SIGCONT, p.Supervisor)
	s.until("server2 is primary", two, func(st wire.Status) bool { return st.Record.Primary == two && !st.Record.Forced })
	s.flowing()
	s.paired(two) // server1 is copied anew
	if told := s.mcctl("events", "-M", s.lab.Mcdir(one)); !strings.Contains(told, "rule 219: hand-over") {
		t.Errorf("it was handed over by another rule:\n%s", told)
	}
}

// A PostgreSQL that still runs in data which was moved away is found by nobody who goes by
// its files. It serves as before, and nobody takes over beside it.
func TestAPrimaryThatRunsInDataMovedAwayIsNotReplaced(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "none"})
	data := s.lab.Data(one)
	if err := os.Rename(data, data+".moved"); err != nil {
		t.Fatal(err)
	}
	s.kill(s.lab.Pids().Servers[one].Supervisor)
	s.until("server1 says why it does not hand over", one, func(st wire.Status) bool {
		return strings.Contains(st.NextStep, "server2 still streams from a PostgreSQL of this server")
	})
	s.flowing()
	if err := os.Rename(data+".moved", data); err != nil {
		t.Fatal(err)
	}
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("the record is %s", st.Record)
	}
}

func TestASwitchThatMayNotBeIsRefusedWithEveryReason(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	out, err := s.try("switch", "-M", s.lab.Mcdir(one))
	if err == nil {
		t.Fatalf("a switch to a stopped standby began:\n%s", out)
	}
	for _, reason := range []string{"the record is alone", "the supervisor of server2 is refused", "PostgreSQL of server2 is"} {
		if !strings.Contains(out, reason) {
			t.Errorf("the refusal does not say %q:\n%s", reason, out)
		}
	}
	s.flowing()
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.paired(one)
}
