package agent

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// leftStandby is a running standby whose primary is gone. Its own copy is the keeper's.
func leftStandby(t *testing.T, disk durable.Disk) *Agent {
	t.Helper()
	a := someAgent(t)
	a.config.Pair.Timings.HeartbeatTimeout.Duration = 200 * time.Millisecond
	r := rec(3, 8, "server2", pair.Alone)
	path := filepath.Join(t.TempDir(), "record.json")
	ok(t, durable.WriteJSON(path, r, 0o600))
	own, err := arbiter.OpenCopy(disk, path)
	ok(t, err)
	a.own = own
	a.keeper = arbiter.NewLocal(arbiter.Machine, own, "server1", func() (record.Record, bool) { return record.Record{}, false })
	a.board.Set(func(s *board.Sight) {
		*s = board.Sight{Known: true, PID: 7, LookAt: wire.Now(), Started: 1, Record: r, Copy: r}
		s.Look.InRecovery = true
	})
	return a
}

// forced asks for the forced switch, which must be begun.
func forced(t *testing.T, a *Agent) wire.Job {
	t.Helper()
	answer, err := a.Handle(t.Context(), operator, wire.KindSwitch, body(wire.SwitchRequest{Force: true, NoFencing: true}))
	ok(t, err)
	return answer.(wire.Job)
}

// full is a disk without room.
type full struct{ durable.Disk }

func (full) WriteJSON(string, any, fs.FileMode) error { return syscall.ENOSPC }

// The record has changed, and this server is about to reign: that its job or its copy cannot
// be saved is no reason to tell the operator that it failed.
func TestAForcedSwitchThatCannotBeSavedHasBegun(t *testing.T) {
	a := leftStandby(t, durable.Machine)
	a.store.Disk = full{durable.Machine}
	job := forced(t, a)
	if !job.Committed || job.Phase != "promoting" || job.To != "server1" || job.Term != 4 {
		t.Errorf("the job is %+v", job)
	}
	if r := a.board.Read().Record; r.Primary != "server1" || !r.Forced {
		t.Errorf("the record is %s", r)
	}
}

// The keeper's disk is slow: what becomes of the change is told by the record, under a job
// that the operator can follow.
func TestAForcedSwitchWhoseAnswerWasLostEndsByTheRecord(t *testing.T) {
	disk := fault.Hang(t)
	a := leftStandby(t, disk)
	a.group.run("settle", a.settleJobs)
	var job wire.Job
	disk.Free(t, "the request", func() { job = forced(t, a) })
	if job.Final || job.Committed || job.ID == "" || len(job.Warnings) != 1 {
		t.Errorf("the job is %+v", job)
	}
	turn := func() wire.Job {
		r, _, _ := a.keeper.Seen()
		a.outcomes.note(outcome{record: r, open: true})
		now, err := a.jobs.Get(job.ID)
		ok(t, err)
		return now
	}
	if now := turn(); now.Final {
		t.Errorf("it has ended while the change is being saved: %+v", now)
	}
	disk.LetGo()
	eventually(t, "it is done", func() bool { now := turn(); return now.Final && now.Phase == "done" })
}

// The other server may come back, and have this one rewound, while the arbiter is asked:
// half rewound it could not be opened.
func TestNoWayBackBeginsWhileThisServerIsForced(t *testing.T) {
	disk := fault.Hang(t)
	a := leftStandby(t, disk)
	a.config.Pair.Timings.HeartbeatTimeout.Duration = limit
	began, end := make(chan struct{}, 1), make(chan struct{})
	a.runner.do = func(context.Context, decide.Action) error { began <- struct{}{}; <-end; return nil }
	rejoin := func() { a.runner.consider(t.Context(), decide.Rule{Do: decide.Rejoin}, a.runner.mark()) }
	asked := make(chan error, 1)
	go func() { _, err := a.force(true); asked <- err }()
	disk.Await(t)
	rejoin()
	if got := a.runner.doing(); got != "" {
		t.Errorf("%q is under way while the arbiter is asked", got)
	}
	disk.LetGo()
	ok(t, received(t, asked))
	a.board.Set(func(s *board.Sight) { s.Record = rec(9, 1, "server2", pair.Alone) })
	rejoin()
	received(t, began)
	if _, err := a.force(true); !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "a rejoin is under way on server1: wait for its end") {
		t.Errorf("force beside a rejoin: %v", err)
	}
	close(end)
	a.runner.end()
}

// The answer that is missing may be that the record names this server.
func TestNoWayBackBeginsWhileAForcedSwitchIsLeftToTheRecord(t *testing.T) {
	disk := fault.Hang(t)
	a := leftStandby(t, disk)
	a.group.run("settle", a.settleJobs)
	rejoin := decide.Rule{Do: decide.Rejoin}
	job := forced(t, a)
	if got := a.permitted(rejoin).Do; got != decide.Wait || job.Final {
		t.Errorf("%s is permitted while the job is %+v", got, job)
	}
	disk.LetGo()
	eventually(t, "it is done", func() bool {
		r, _, _ := a.keeper.Seen()
		a.outcomes.note(outcome{record: r, open: true})
		now, err := a.jobs.Get(job.ID)
		return err == nil && now.Final
	})
	if got := a.permitted(rejoin).Do; got != decide.Rejoin {
		t.Errorf("%s is permitted when it has ended", got)
	}
}

// An operator forces while the supervisor is at work: both ask the board and the runner.
func TestForceAndTheLoopDoNotWaitForEachOther(t *testing.T) {
	a := leftStandby(t, durable.Machine)
	end := make(chan struct{})
	a.runner.do = func(context.Context, decide.Action) error { <-end; return nil }
	a.runner.consider(t.Context(), decide.Rule{Do: decide.Rejoin}, a.runner.mark())
	done := make(chan struct{}, 2)
	for _, work := range []func(){func() { a.observe() }, func() { free, _ := a.runner.spareData(); free() }} {
		go func() {
			for range 20000 {
				work()
			}
			done <- struct{}{}
		}()
	}
	received(t, done)
	received(t, done)
	close(end)
	a.runner.end()
}

// Nothing can come of it, and nobody is to wait for that.
func TestForceIsRefusedWhileTheArbiterIsAway(t *testing.T) {
	a := leftStandby(t, durable.Machine) // its keeper does not hear the primary
	a.config.Pair.Arbiter.Kind = config.Witness
	_, err := a.force(true)
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "is not reached, so the record cannot change") {
		t.Errorf("force: %v", err)
	}
	if _, err := a.jobs.Get(""); err == nil {
		t.Error("a job was made of it")
	}
}

// An arbiter that is frozen would make the change when it thaws, and another reign may have
// begun by then: it is asked whether it answers first.
func TestNoForceIsLeftToAnArbiterThatDoesNotAnswer(t *testing.T) {
	a := leftStandby(t, durable.Machine)
	a.config.Pair.Arbiter.Kind = config.Witness
	frozen := &frozenKeeper{Keeper: a.keeper, seen: a.board.Read().Record}
	a.keeper = frozen
	_, err := a.force(true)
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "does not answer, so nothing was asked of it") {
		t.Errorf("force: %v", err)
	}
	if _, err := a.jobs.Get(""); err == nil || frozen.asked {
		t.Errorf("the arbiter was asked: %v; or a job was made of it", frozen.asked)
	}
}

// frozenKeeper was reached a moment ago.
type frozenKeeper struct {
	arbiter.Keeper
	seen  record.Record
	asked bool
}

func (k *frozenKeeper) Seen() (record.Record, time.Duration, bool) { return k.seen, 0, true }

func (k *frozenKeeper) Read(context.Context) (record.Record, error) {
	return record.Record{}, wire.ErrNoAnswer
}

func (k *frozenKeeper) Change(context.Context, record.Change) (record.Record, error) {
	k.asked = true
	return record.Record{}, wire.ErrNoAnswer
}

// The keeper has not made the change after all.
func TestAForcedSwitchThatTheKeeperHasNotMadeHasFailed(t *testing.T) {
	a := leftStandby(t, durable.Machine)
	before := a.board.Read().Record
	a.keeper = silentKeeper{a.keeper, before}
	a.group.run("settle", a.settleJobs)
	job := forced(t, a)
	eventually(t, "it has failed", func() bool {
		a.outcomes.note(outcome{record: before})
		now, err := a.jobs.Get(job.ID)
		return err == nil && now.Final && now.Phase == "failed"
	})
}

// silentKeeper answers no change, and makes none.
type silentKeeper struct {
	arbiter.Keeper
	holds record.Record
}

func (k silentKeeper) Read(context.Context) (record.Record, error) { return k.holds, nil }

func (k silentKeeper) Change(context.Context, record.Change) (record.Record, error) {
	return record.Record{}, wire.ErrNoAnswer
}

// unmetPrimary was started as a paired primary, by a site whose commands arbitrate, and has
// not met the standby since.
func unmetPrimary(t *testing.T) *Agent {
	t.Helper()
	a := someAgent(t)
	r := rec(3, 8, "server1", pair.Paired)
	ok(t, a.own.Save(r))
	a.config.Pair.Arbiter.Kind = config.Command
	var err error
	a.keeper, err = a.newKeeper()
	ok(t, err)
	a.board.Set(func(s *board.Sight) {
		*s = board.Sight{Known: true, PID: 7, LookAt: wire.Now(), Started: 1, Record: r, Copy: r, Link: wire.LinkState{Refused: true}}
	})
	return a
}

// By itself it may neither fence nor go alone, while commits hang. The standby is off for
// good: what status tells the operator to do is to be done.
func TestAPrimaryThatWaitsForTheStandbyIsForced(t *testing.T) {
	for _, gated := range []bool{false, true} {
		a := unmetPrimary(t)
		a.board.Note(func(s *board.Sight) { s.Gated = gated })
		s := a.board.Read()
		if step := a.nextStep(s, a.limits.Classify(s, wire.Now())); !strings.Contains(step, "mcctl switch --force") {
			t.Errorf("the next step is %q", step)
		}
		forced(t, a)
		if r := a.own.Get(); r.Term != 4 || r.Mode != pair.Alone || r.Primary != "server1" {
			t.Errorf("gated %v: the record is %s", gated, r)
		}
		if _, err := a.force(true); err == nil || !strings.Contains(err.Error(), "server1 is primary already") {
			t.Errorf("gated %v, for a second time: %v", gated, err)
		}
	}
}

// One behind its gate is no less alive: whoever forced this server would make a second primary.
func TestNoForceOverAPrimaryThatIsReached(t *testing.T) {
	for postgres, reason := range map[string]string{
		wire.ReportOpen:  "server2 is open and reached: use mcctl switch without --force",
		wire.ReportGated: "server2 is reached and lets clients in as soon as it may: see mcctl explain there",
	} {
		a := leftStandby(t, durable.Machine)
		a.board.Note(func(s *board.Sight) {
			s.Link.Connected, s.Heard, s.ReportAt, s.Report.Postgres = true, wire.Now(), wire.Now(), postgres
		})
		if err := a.mayForce(a.board.Read()); !errors.Is(err, wire.ErrRefused) || !strings.HasSuffix(err.Error(), reason) {
			t.Errorf("%s: %v", postgres, err)
		}
		if open := isOpen(a.board.Read(), a.limits.Classify(a.board.Read(), wire.Now())); open != (postgres == wire.ReportOpen) {
			t.Errorf("%s: a switch to it ended well: %v", postgres, open)
		}
	}
}

// Whether the standby had taken over, before it was lost, nobody can say by a word that it is off.
func TestADetachThatOnlyForceCanDoIsRefused(t *testing.T) {
	a := unmetPrimary(t)
	_, err := a.detach(t.Context(), body(wire.DetachRequest{StandbyOff: true}))
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "mcctl switch --force --no-fencing") {
		t.Errorf("detach: %v", err)
	}
}

// After a failover the old primary is down when the new one is lost. Nobody starts it, since
// the record names the other server: what is left of the data can only be had by force.
func TestAnOldPrimaryThatIsDownIsForced(t *testing.T) {
	crashed := postgres.Control{State: postgres.InProduction}
	for name, c := range map[string]struct {
		change func(*board.Sight)
		says   string // empty: it is done
	}{
		"crashed":                {func(*board.Sight) {}, ""},
		"shut down":              {func(s *board.Sight) { s.Control.State = postgres.ShutDown }, ""},
		"half made":              {func(s *board.Sight) { s.Broken = true }, "server1 is empty or half made"},
		"a standby":              {func(s *board.Sight) { s.Marked = true }, "is down, not standby: start it first"},
		"a rejoin is under way":  {func(s *board.Sight) { s.Doing = decide.Rejoin }, "a rejoin is under way on server1: wait for its end"},
		"the record says paired": {func(s *board.Sight) { s.Record.Mode = pair.Paired }, "is down, not standby: start it first"},
		"the other supervisor is here": {func(s *board.Sight) {
			s.Heard, s.ReportAt, s.Link, s.Report.Postgres = wire.Now(), wire.Now(), wire.LinkState{Connected: true}, wire.ReportDown
		}, "not gone: its supervisor is here, its PostgreSQL down"},
		"it may be about to be met": {func(s *board.Sight) {
			s.Started, s.Link, s.Port = wire.Now(), wire.LinkState{}, board.PortUnknown
		}, "not gone: its supervisor is quiet"},
		"PostgreSQL answers there": {func(s *board.Sight) { s.Port = board.PortAnswers }, "not gone: its supervisor is refused, its PostgreSQL open"},
	} {
		t.Run(name, func(t *testing.T) {
			a := leftStandby(t, durable.Machine)
			a.board.Set(func(s *board.Sight) {
				*s = board.Sight{Known: true, Started: 1, Record: s.Record, Copy: s.Copy, Control: crashed, Link: wire.LinkState{Refused: true}, Port: board.PortRefused}
				c.change(s)
			})
			if c.says == "" {
				forced(t, a)
				if r := a.own.Get(); r.Term != 4 || r.Primary != "server1" || !r.Forced {
					t.Errorf("the record is %s", r)
				}
				return
			}
			if _, err := a.force(true); !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("force: %v", err)
			}
		})
	}
}
