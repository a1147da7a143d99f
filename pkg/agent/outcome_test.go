package agent

import (
	"context"
	"errors"
	"testing"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
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
		a.outcomes.note(outcome{before, false})
		k.answers <- c.answer // it is asked
		a.outcomes.note(outcome{c.answer, true})
		if c.phase == "done" { // the record is newer than what was seen: whether it is open shows later
			k.answers <- c.answer
		}
		eventually(t, "the switch is "+c.phase, func() bool { now, err := a.jobs.Get(job.ID); return err == nil && now.Final && now.Phase == c.phase })
	}
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
