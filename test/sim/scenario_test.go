package sim

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// steady is a pair without chance faults, paired and at rest.
func steady(t *testing.T, seed uint64) *World {
	t.Helper()
	return steadyBy(t, seed, func(*World) {})
}

// steadyBy is one with another arbiter than the witness.
func steadyBy(t *testing.T, seed uint64, arbiter func(*World)) *World {
	t.Helper()
	w := newWorld(seed, bugs{})
	w.plan.alone, w.plan.commands, w.plan.etcd, w.plan.kinds, w.plan.follows, w.plan.promoteFails = false, false, false, nil, 0, 0
	for _, n := range w.nodes {
		n.config = w.configure(string(n.me))
	}
	arbiter(w)
	w.plan.kinds = nil
	w.boot()
	w.reaches(t, "it is paired", time.Minute, func() bool { return w.whole(0) == "" })
	return w
}

// reaches runs the world until something is so.
func (w *World) reaches(t *testing.T, what string, within time.Duration, met func() bool) {
	t.Helper()
	for end := w.calendar() + within; !met(); {
		if w.broken != nil || w.calendar() > end {
			t.Fatalf("not within %s: %s (%v)\n%s", within, what, w.broken, w.trace.tail())
		}
		w.until(w.calendar() + time.Millisecond)
	}
}

// TestARewindNeedNotWaitForACheckpoint: the supervisor of a new primary is killed
// before the checkpoint that a rewind reads. PostgreSQL's own one comes minutes later.
func TestARewindNeedNotWaitForACheckpoint(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	w.plan.ownCheckpoint = time.Hour
	old, next := w.nodes[0], w.nodes[1]
	w.power(old, 10*time.Second)
	w.reaches(t, "server2 is promoted", time.Minute, func() bool { return next.data.log.tl == 2 })
	w.killSupervisor(next)
	w.reaches(t, "server1 is back as standby", 90*time.Second, func() bool { return w.whole(w.ledger.acks-1) == "" })
}

// TestAGateOpensWithoutTheStandbysSupervisor: the standby streams from a primary that
// was restarted, but its supervisor, which the proof of the names needs, stays away.
func TestAGateOpensWithoutTheStandbysSupervisor(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	primary, standby := w.nodes[0], w.nodes[1]
	standby.server.die()
	w.power(primary, 3*time.Second)
	w.reaches(t, "the standby streams again", time.Minute, func() bool { return primary.data.pm != nil && primary.data.pm.down != nil })
	before := w.ledger.acks
	w.reaches(t, "clients are answered", 15*time.Second, func() bool { return w.ledger.acks > before })
}

// TestAFaultInTheCheckpointOfASwitchIsNotWaitedFor: what has a rule of its own is done
// in its own time, although a switch is under way whose checkpoint does not end.
func TestAFaultInTheCheckpointOfASwitchIsNotWaitedFor(t *testing.T) {
	for name, fail := range map[string]func(*cluster){
		"PostgreSQL freezes": func(c *cluster) { c.pm.frozen = true },
		"its disk hangs":     func(c *cluster) { c.hung = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := steady(t, 1)
			defer w.end()
			primary, standby := w.nodes[0], w.nodes[1]
			w.ask(primary, "switch", func(n *node) error { return n.agent.BeginSwitch() })
			w.reaches(t, "the switch is under way", time.Second, func() bool {
				s, _ := primary.agent.Sight()
				return s.Doing == decide.Switch
			})
			fail(primary.data)
			w.reaches(t, "server2 is primary", 10*time.Second, standby.data.open)
		})
	}
}

// TestAPrimaryWhoseDiskFillsGivesTheRoleAway, unless room is short on the other one too.
func TestAPrimaryWhoseDiskFillsGivesTheRoleAway(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	primary, standby := w.nodes[0], w.nodes[1]
	standby.data.free = diskSize / 30
	w.until(w.calendar() + 10*time.Second)
	primary.data.free = diskSize / 500
	w.until(w.calendar() + time.Minute)
	if !primary.data.open() {
		t.Fatalf("server1 is not open, and room is low on server2\n%s", w.trace.tail())
	}
	standby.data.free = roomy
	w.reaches(t, "server2 is primary", 15*time.Second, standby.data.open)
}

// TestAServerThatLingersInItsShutdownIsEnded: its supervisor was killed when it had shut
// down and waited for a standby that is cut off, as it would for wal_sender_timeout.
func TestAServerThatLingersInItsShutdownIsEnded(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	primary, standby := w.nodes[0], w.nodes[1]
	a, b := primary.host.name, standby.host.name
	w.cutOff(a, b, 2*time.Minute)
	w.cutOff(b, a, 2*time.Minute)
	w.reaches(t, "server1 is alone", 10*time.Second, func() bool { r, _ := w.record(); return r.Mode == pair.Alone })
	primary.data.pm.stop()
	w.reaches(t, "it has shut down", 10*time.Second, func() bool { return primary.data.pm.shut })
	w.killSupervisor(primary)
	before := w.ledger.acks
	w.reaches(t, "clients are answered", 15*time.Second, func() bool { return w.ledger.acks > before })
}

// TestAPrimaryThatLosesItsRecordLosesNoCommit: it went alone and acknowledged while the
// standby's host was off, and that one comes back with a copy that says paired.
func TestAPrimaryThatLosesItsRecordLosesNoCommit(t *testing.T) {
	for name, arbiter := range map[string]func(*World){"none": byNobody, "command": byCommand} {
		t.Run(name, func(t *testing.T) {
			w := steadyBy(t, 1, arbiter)
			defer w.end()
			primary, standby := w.nodes[0], w.nodes[1]
			w.power(standby, 50*time.Second)
			w.reaches(t, "server1 is alone", 30*time.Second, func() bool { r, _ := w.record(); return r.Mode == pair.Alone })
			before := w.ledger.acks
			w.reaches(t, "clients are answered", 15*time.Second, func() bool { return w.ledger.acks > before })
			w.power(primary, 55*time.Second)
			primary.host.disk.forget(primary.config.Path("record.json"))
			w.until(w.calendar() + 90*time.Second)
			w.heal()
			w.becomesWhole()
			if w.broken != nil {
				t.Error(w.broken)
			}
			if r, _ := w.record(); r.Primary != "server1" || r.Revision < 1000 {
				t.Errorf("the record is %s", r)
			}
		})
	}
}

// TestAPairIsWholeAfterEachFault: one of each, by itself.
func TestAPairIsWholeAfterEachFault(t *testing.T) {
	for _, f := range allFaults() {
		t.Run(f.name, func(t *testing.T) { wholeAfter(t, f, func(*World) {}) })
	}
	for _, f := range append(etcdFaults(), allFaults()...) {
		t.Run("etcd/"+f.name, func(t *testing.T) { wholeAfter(t, f, byEtcd) })
	}
	for _, f := range copyFaults() {
		t.Run("none/"+f.name, func(t *testing.T) { wholeAfter(t, f, byNobody) })
		t.Run("command/"+f.name, func(t *testing.T) { wholeAfter(t, f, byCommand) })
	}
}

func wholeAfter(t *testing.T, f fault, arbiter func(*World)) {
	t.Helper()
	for i := range 2 {
		w := steadyBy(t, uint64(3+i), arbiter)
		f.do(w, w.nodes[i])
		w.until(w.calendar() + 90*time.Second)
		if w.broken == nil {
			w.heal()
			w.becomesWhole()
		}
		w.end()
		if w.broken != nil {
			t.Fatalf("%v\n%s", w.broken, w.trace.tail())
		}
	}
}

// TestASeedIsATrace: the same seed is the same run, to the last event.
func TestASeedIsATrace(t *testing.T) {
	for seed := uint64(1); seed <= 16; seed++ { // the last one is with etcd
		a, b := Run(seed, 10*time.Minute), Run(seed, 10*time.Minute)
		if a.Sum != b.Sum || a.Lines != b.Lines || a.Acks != b.Acks {
			t.Errorf("seed %d: trace %x with %d lines, then %x with %d", seed, a.Sum, a.Lines, b.Sum, b.Lines)
		}
	}
}

// TestThePageListsThePlantedBugs: docs/simulator.md says what is found, and how soon.
func TestThePageListsThePlantedBugs(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range planted {
		if row := fmt.Sprintf("| %s | %d seeds |", b.name, b.seeds); !strings.Contains(string(page), row) {
			t.Errorf("docs/simulator.md lacks this row: %s", row)
		}
	}
	if n := strings.Count(string(page), " seeds |"); n != len(planted) {
		t.Errorf("docs/simulator.md has %d rows of planted bugs, there are %d", n, len(planted))
	}
}

func TestThePageListsTheScenarios(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("scenario_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(self), -1) {
		if name := m[1]; !strings.HasPrefix(name, "TestThePage") && !strings.Contains(string(page), name) {
			t.Errorf("docs/simulator.md does not tell of %s", name)
		}
	}
}

// TestWhatBothServersHaveMayBeToldLate: a backend is frozen after the standby has flushed
// its commit. The other server reigns when it thaws, and then it tells its client.
func TestWhatBothServersHaveMayBeToldLate(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	old, next := w.nodes[0].data, w.nodes[1].data
	told := true
	for tries := 0; told; tries++ { // until a backend comes to run again later than its standby answers
		if tries == 1000 {
			t.Fatal("every backend was told in time")
		}
		w.ledger.last++
		id := w.ledger.last
		told = false
		old.pm.commit(id, false, func(acknowledged bool) {
			told = acknowledged
			w.ledger.acknowledges(old, id)
		})
		for at := old.log.insertAt(); old.pm.synced < at && !told; {
			w.until(w.calendar() + time.Microsecond)
		}
	}
	old.pm.frozen = true
	w.nodes[0].server.stopped = true
	w.reaches(t, "server2 is promoted", time.Minute, func() bool { return next.log.tl == 2 && next.open() })
	old.pm.frozen = false
	w.reaches(t, "the client is told", time.Minute, func() bool { return told })
	if w.broken != nil {
		t.Error(w.broken)
	}
}

// TestAGateThatWaitsOpensWhenTheRecordIsFoundAlone: a primary that was restarted waits
// behind its gate for what the standby has not flushed; meanwhile the witness loses its
// records and finds this one, alone, and then the standby is lost.
func TestAGateThatWaitsOpensWhenTheRecordIsFoundAlone(t *testing.T) {
	w := steadyBy(t, 2, func(w *World) {
		for _, n := range w.nodes { // the standby is not detached before it streams
			n.config.Pair.Timings.CommitStallMax.Duration = time.Minute
		}
	})
	defer w.end()
	primary, standby := w.nodes[0], w.nodes[1]
	primary.server.die()
	primary.data.kill()
	standby.server.stopped = true // it does not take over
	w.reaches(t, "the port is free", time.Minute, func() bool { return primary.data.pm == nil })
	primary.start()
	w.reaches(t, "PostgreSQL is started", time.Minute, func() bool { return primary.data.pm != nil })
	standby.server.stopped, standby.data.hung = false, true
	w.reaches(t, "the gate waits", time.Minute, func() bool {
		if primary.agent == nil {
			return false
		}
		_, rule := primary.agent.Sight()
		return rule.ID == 258
	})
	w.wit.server.die()
	w.wit.host.disk.lose()
	w.ledger.records = record.Record{}
	w.wit.start()
	w.reaches(t, "the record is found alone", time.Minute, func() bool {
		r, known := w.record()
		return known && r.Mode == pair.Alone
	})
	w.power(standby, time.Hour)
	before := w.ledger.acks
	w.reaches(t, "clients are answered", 15*time.Second, func() bool { return w.ledger.acks > before })
}

// TestAnEtcdThatWasRestoredIsNotBelieved: a backup comes back in which the record is
// paired; both servers know that the primary has gone alone since.
func TestAnEtcdThatWasRestoredIsNotBelieved(t *testing.T) {
	w := steadyBy(t, 1, byEtcd)
	defer w.end()
	w.etcd.backups = append(w.etcd.backups[:0], w.etcd.store.backup())
	w.restoredInVain(t, w.etcdRestored, w.etcd.start)
}

// TestAWitnessThatWasRestoredIsNotBelieved is the same of a witness.
func TestAWitnessThatWasRestoredIsNotBelieved(t *testing.T) {
	w := steady(t, 1)
	defer w.end()
	old, _ := w.record()
	w.restoredInVain(t, func() {
		w.wit.past = []record.Record{old}
		w.witnessRestored()
	}, w.wit.start)
}

// restoredInVain has the keeper come back with the paired record that it has now, when
// both servers know that the primary is alone.
func (w *World) restoredInVain(t *testing.T, restore, start func()) {
	t.Helper()
	old, _ := w.record()
	w.request(w.nodes[0], wire.KindDetach, wire.DetachRequest{})
	w.reaches(t, "both servers know that server1 is alone", time.Minute, func() bool {
		now, _ := w.record()
		return now.Mode == pair.Alone && w.bothKnow(now)
	})
	restore()
	w.killSupervisor(w.nodes[0])
	w.nodes[0].data.kill()
	start()
	w.reaches(t, "the record is found again, alone", time.Minute, func() bool {
		now, known := w.record()
		return known && now.Revision > old.Revision+1000 && now.Mode == pair.Alone && now.Term == old.Term
	})
	w.until(w.calendar() + 20*time.Second)
	if now, _ := w.record(); now.Primary != "server1" {
		t.Errorf("server2 took over by the old record: %s", now)
	}
	w.heal()
	w.becomesWhole()
	if w.broken != nil {
		t.Error(w.broken)
	}
}

// TestALeaseIsGivenBackInGoodOrder: a supervisor that ends is not heard any more at
// once, though its lease would last.
func TestALeaseIsGivenBackInGoodOrder(t *testing.T) {
	w := steadyBy(t, 1, byEtcd)
	defer w.end()
	w.nodes[1].kept = true
	w.request(w.nodes[1], wire.KindStop, wire.StopRequest{})
	w.reaches(t, "the supervisor has ended", 10*time.Second, func() bool { return w.nodes[1].server == nil })
	if n := len(w.etcd.store.leases); n != 1 {
		t.Errorf("%d leases are left", n)
	}
}
