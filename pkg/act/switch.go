package act

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// holdsPatience is how long the standby may take to show that it has the last
// record of a primary that has stopped and is known to have sent it.
const holdsPatience = 2 * time.Second

// Switch is T4, planned: checkpoint, wait until the standby's replay is close, close to
// clients by a fast shutdown, which sends everything to the standby, make sure that the standby has it, change the
// record. Until then it can be given up: the next turn opens this server again. Until
// this server begins to close, it is recalled when its conditions are gone.
func (h *Hands) Switch(ctx context.Context) error {
	asked := h.Board.Read().Task == decide.TaskSwitch
	var err error
	if !asked {
		_, err = h.BeginSwitch(ctx, "relief") // rule 218: nobody asked for it
	}
	if err == nil {
		if err = h.doSwitch(ctx); err != nil {
			h.Jobs.Fail(err)
			h.Background("save the end of the switch", func(context.Context) error { return h.Jobs.SaveEnd() })
		}
	}
	h.Board.Note(func(s *board.Sight) {
		if err != nil && !asked && !errors.As(err, new(recalled)) {
			s.ReliefFailed = h.now()
		}
		s.Release(decide.TaskSwitch)
	})
	return err
}

// beginPatience bounds how long the job of a switch may take to be saved. Whoever asked for
// the switch waits longer (answerTimeout in package cli), and so hears that it failed.
const beginPatience = 5 * time.Second

// BeginSwitch makes the job of a switch. Its disk may hang, and then the switch has failed:
// one that would begin later does not. Without that, it could begin when its operator has
// been told that it did not take place; a request that the other server passed on does not
// end with him.
func (h *Hands) BeginSwitch(ctx context.Context, kind string) (wire.Job, error) {
	ctx, cancel := h.within(ctx, min(beginPatience, h.Config.Timings().HeartbeatTimeout.Duration), errJobUnsaved)
	defer cancel()
	var job wire.Job
	var decided atomic.Bool // either it has begun, or nobody waits for it any more
	err := h.Aside(func() (err error) {
		if job, err = h.Jobs.Begin(kind, h.me(), h.other(), h.Board.Read().Record); err == nil && !decided.CompareAndSwap(false, true) {
			h.Jobs.Drop(errJobUnsaved)
			err = h.Jobs.SaveEnd()
		}
		return err
	})(ctx)
	if err != nil && decided.CompareAndSwap(false, true) {
		return wire.Job{}, err
	}
	return job, nil
}

var errJobUnsaved = errors.New("save the job of the switch: the disk of the management directory does not answer")

func (h *Hands) doSwitch(ctx context.Context) error {
	if err := h.Jobs.Enter(phaseCheckpoint); err != nil {
		return err
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	if err := h.Jobs.Enter(phaseClosing); err != nil {
		return err
	}
	patience := fastPatience
	defer func() { h.awaitExit(ctx, patience) }()
	if err := h.close(ctx); err != nil {
		return err
	}
	if err := h.Jobs.Enter(phaseHandingOver); err != nil {
		return err
	}
	r, err := h.change(ctx, record.HandOver, h.other())
	if errors.Is(err, wire.ErrNoAnswer) {
		h.Jobs.LeaveToRecord()
	}
	if err != nil {
		return err
	}
	h.Jobs.Commit()
	patience = h.Config.Timings().ShutdownTimeout.Duration
	if err := h.handedOver(ctx, r, h.Config.Timings().HeartbeatTimeout.Duration); err != nil {
		h.Log.Warn("the own copy of the record cannot be saved", "error", err)
	}
	return nil
}

// awaitExit ends the switch of a server that is closed: its postmaster is still on
// its way out while the other one is promoted, and the next turn must find it gone. Once
// clients have another primary, the archiver has the time of any shutdown: what it does
// not archive now nobody will, as a standby takes what it receives for archived
// (archive_mode on; walreceiver.c and XLogArchiveCheckDone of PostgreSQL 15).
func (h *Hands) awaitExit(ctx context.Context, patience time.Duration) {
	if err := h.stop(context.WithoutCancel(ctx), patience); err != nil {
		h.Log.Warn("PostgreSQL does not end", "error", err)
	}
}

// prepare is what comes while clients are at work. Its checkpoints may take minutes, or
// for ever on a disk that hangs. Nothing has happened yet, so it is left off as soon as
// somebody wants the switch to end.
func (h *Hands) prepare(ctx context.Context) error {
	ctx, done := h.Jobs.Work(ctx)
	defer done()
	if h.Board.Read().PID == 0 {
		return nil
	}
	err := h.checkpointTwice(ctx)
	if err == nil {
		err = h.standbyReplays(ctx)
	}
	if err == nil {
		err = h.standbyHasRoom(ctx)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("it was left off before anything was closed: %w", cause)
	}
	return err
}

// standbyReplays waits until the standby applies what it gets within a moment: it applies
// everything before it opens, and clients would wait for that.
func (h *Hands) standbyReplays(ctx context.Context) error {
	ctx, cancel := h.within(ctx, check.ReplayPatience, fmt.Errorf("not within %s", check.ReplayPatience))
	defer cancel()
	h.progress("waiting for the replay of %s", h.other())
	for {
		began := h.now()
		err := h.standbyHas(ctx, "applied", func(to *postgres.Sender) pair.LSN {
			if to == nil {
				return math.MaxUint64 // that nothing streams is for the rules to judge
			}
			return to.Replay
		})
		if err != nil {
			return fmt.Errorf("nothing was closed: the replay of %s is behind, and clients would have to wait for it; try again when less is written or, if wait_event of the backend_type startup in pg_stat_activity there is a RecoveryConflict, when the queries there have ended: %w", h.other(), err)
		}
		if h.now()-began <= check.ReplayClose {
			return nil
		}
	}
}

// roomPatience is how long the standby may take to look at its disks.
const roomPatience = 10 * time.Second

// standbyHasRoom makes sure that the standby can be promoted, by a look of this moment: once
// it has the reign, nobody may serve until there is room.
func (h *Hands) standbyHasRoom(ctx context.Context) error {
	ctx, cancel := h.within(ctx, roomPatience, fmt.Errorf("not within %s", roomPatience))
	defer cancel()
	h.progress("waiting for %s to look for room on its disks", h.other())
	for {
		var got wire.HoldsAnswer
		err := h.Peer.Call(ctx, wire.KindHolds, wire.HoldsRequest{Room: true}, &got)
		switch {
		case err == nil && got.NoRoom == "":
			return nil
		case err == nil:
			return fmt.Errorf("nothing was closed: %s has no room to take over: %s", h.other(), got.NoRoom)
		case h.pause(ctx, 100*time.Millisecond) != nil:
			return fmt.Errorf("nothing was closed: whether %s has room to take over is not known: %w", h.other(), err)
		}
	}
}

// checkpointTwice makes the shutdown's own checkpoint short: the second one
// writes what came in during the first. In between the log is brought to where the
// promotion is short as well; the first checkpoint has made the segment for that.
func (h *Hands) checkpointTwice(ctx context.Context) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Checkpoint(ctx); err != nil {
		return err
	}
	if err := h.endSegment(ctx, session); err != nil {
		h.Log.Warn("the promotion may take longer", "error", err)
	}
	return session.Checkpoint(ctx)
}

// endSegment keeps the end of a segment out of the promotion. The standby has to make
// the new one: that is waited for while clients still write.
func (h *Hands) endSegment(ctx context.Context, session Session) error {
	ctx, cancel := h.within(ctx, holdsPatience, nil)
	defer cancel()
	if ended, err := session.EndSegment(ctx); err != nil || !ended {
		return err
	}
	return h.standbyHolds(ctx)
}

// close shuts PostgreSQL down in good order and returns when the standby is known to
// hold everything. The postmaster may still be on its way out: see awaitExit.
func (h *Hands) close(ctx context.Context) error {
	if pid, running := h.Postgres.Postmaster(); running {
		bounded, cancel := h.within(ctx, h.Config.Timings().ShutdownTimeout.Duration, nil)
		defer cancel()
		if err := h.Postgres.Shut(bounded, pid); err != nil {
			// Half stopped it serves nobody: end it, and the table decides what follows.
			return errors.Join(err, h.stop(context.WithoutCancel(ctx), 0))
		}
	}
	control, err := h.Postgres.Control()
	if err != nil {
		return err
	}
	if !control.State.CleanPrimary() {
		return fmt.Errorf("close for the switch: PostgreSQL did not stop in good order (%s)", control.State)
	}
	return h.otherHolds(ctx, control.Checkpoint)
}

func (h *Hands) otherHolds(ctx context.Context, last pair.LSN) error {
	ctx, cancel := h.within(ctx, holdsPatience, nil)
	defer cancel()
	for {
		var got wire.HoldsAnswer
		err := h.Peer.Call(ctx, wire.KindHolds, wire.HoldsRequest{LSN: last}, &got)
		if err == nil && got.Holds {
			return nil
		}
		if stopped := h.pause(ctx, 2*time.Millisecond); stopped != nil {
			if err == nil {
				err = fmt.Errorf("it has %s", got.Received)
			}
			return fmt.Errorf("make sure that %s holds the last record at %s: %w", h.other(), last, err)
		}
	}
}
