package agent

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// slowKeeper answers a question only when the change before it is on its disk.
type slowKeeper struct {
	arbiter.Keeper
	answers chan record.Record
}

func (k slowKeeper) Read(ctx context.Context) (record.Record, error) {
	select {
	case r := <-k.answers:
		return r, nil
	case <-ctx.Done():
		return record.Record{}, wire.ErrNoAnswer
	}
}

// The answer to a hand-over was lost, and heartbeats still tell the record of before. The
// switch is not told as failed: the change may be on its way to the keeper's disk.
func TestASwitchWhoseAnswerWasLostEndsByTheKeepersAnswer(t *testing.T) {
	before, after := rec(1, 7, "server1", pair.Paired), rec(2, 8, "server2", pair.Alone)
	for _, c := range []struct {
		answer record.Record
		phase  string
	}{{before, "failed"}, {after, "done"}} {
		a := someAgent(t)
		k := slowKeeper{a.keeper, make(chan record.Record)}
		a.keeper = k
		job, err := a.jobs.Begin("switch", "server1", "server2", before)
		ok(t, err)
		a.jobs.LeaveToRecord()
		a.group.run("settle", a.settleJobs)
		a.outcomes.note(outcome{record: before})
		k.answers <- c.answer // it is asked
		a.outcomes.note(outcome{record: c.answer, open: true})
		if c.phase == "done" { // the record is newer than what was seen: whether it is open shows later
			k.answers <- c.answer
		}
		eventually(t, "the switch is "+c.phase, func() bool { now, err := a.jobs.Get(job.ID); return err == nil && now.Final && now.Phase == c.phase })
	}
}

// The keeper still has the record of before, and the change is on its way. The switch is told as
// cut off: then it must not be made any more, whenever it arrives.
func TestASwitchThatIsToldAsCutOffIsNotMadeLater(t *testing.T) {
	a, before := someAgent(t), rec(1, 7, "server1", pair.Paired)
	a.config.Pair.Arbiter.Kind = config.Witness
	ok(t, a.own.Save(before)) // which is the keeper's
	job, err := a.jobs.Begin("switch", "server1", "server2", before)
	ok(t, err)
	a.jobs.LeaveToRecord()
	a.group.run("settle", a.settleJobs)
	a.outcomes.note(outcome{record: before})
	eventually(t, "the switch has failed", func() bool { now, err := a.jobs.Get(job.ID); return err == nil && now.Final && now.Phase == "failed" })
	if r, err := a.keeper.Change(t.Context(), record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: before.Revision}); !errors.Is(err, record.ErrConflict) {
		t.Errorf("it was made: %s, %v", r, err)
	}
	if r := a.board.Read().Record; r.Mode != pair.Paired || r.Revision != before.Revision+1 {
		t.Errorf("the record in sight is %s", r)
	}
}

// The same without an arbiter, where the disk of this server is the keeper's: the switch has
// not ended while its change hangs, and then it ends by that.
func TestASwitchIsNotToldAsFailedWhileItsChangeIsSaved(t *testing.T) {
	a := someAgent(t)
	disk, before := fault.Hang(t), rec(1, 7, "server1", pair.Paired)
	path := filepath.Join(t.TempDir(), "record.json")
	ok(t, durable.WriteJSON(path, before, 0o600))
	own, err := arbiter.OpenCopy(disk, path)
	ok(t, err)
	peer := func() (record.Record, bool) { return own.Get(), true }
	a.keeper = arbiter.NewLocal(arbiter.Machine, own, "server1", peer)
	job, err := a.jobs.Begin("switch", "server1", "server2", before)
	ok(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := a.keeper.Change(ctx, record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: before.Revision}); !errors.Is(err, wire.ErrNoAnswer) {
		t.Fatalf("the disk hangs: %v", err)
	}
	a.jobs.LeaveToRecord()
	var asked atomic.Int32
	a.keeper = askedKeeper{a.keeper, &asked}
	a.group.run("settle", a.settleJobs)
	turn := func() wire.Job {
		r, _, _ := a.keeper.Seen()
		a.outcomes.note(outcome{record: r, open: true})
		now, err := a.jobs.Get(job.ID)
		ok(t, err)
		return now
	}
	eventually(t, "what came of an answer shows, as the keeper is asked again", func() bool {
		if now := turn(); now.Final {
			t.Fatalf("it has ended: %+v", now)
		}
		return asked.Load() > 1
	})
	disk.LetGo()
	eventually(t, "the switch is done", func() bool { now := turn(); return now.Final && now.Phase == "done" })
}

// askedKeeper counts its answers.
type askedKeeper struct {
	arbiter.Keeper
	times *atomic.Int32
}

func (k askedKeeper) Read(ctx context.Context) (record.Record, error) {
	defer k.times.Add(1)
	return k.Keeper.Read(ctx)
}

// A stop that was asked for while a switch was being saved stays: the switch is not begun.
func TestASwitchDoesNotReplaceAStop(t *testing.T) {
	a := someAgent(t)
	a.board.Note(func(s *board.Sight) { s.Task = decide.TaskStop })
	_, err := a.enterSwitch(t.Context())
	if !errors.Is(err, wire.ErrRefused) || a.board.Read().Task != decide.TaskStop {
		t.Errorf("the task is a %s, and the answer: %v", a.board.Read().Task, err)
	}
	if job, err := a.jobs.Get(""); err != nil || !job.Final || job.Phase != "failed" {
		t.Errorf("the switch is %+v, %v", job, err)
	}
	a.board.Release(decide.TaskSwitch)
	if a.board.Read().Task != decide.TaskStop {
		t.Error("the end of another task has ended the stop")
	}
}
