package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// attachLimit bounds one try: with the names in force and the record still alone,
// commits wait for a standby that may leave.
const attachLimit = 3 * time.Second

// Attach is T2. The numbers are the steps of docs/protocol.md; until step 6 it can
// be given up, and then PutRight takes the names away again.
func (h *Hands) Attach(ctx context.Context) error {
	ctx, cancel := h.within(ctx, attachLimit, fmt.Errorf("the standby did not get ready within %s", attachLimit))
	defer cancel()
	// What streams may still have stopped taking anything. Seen while nothing waits for
	// it, that costs no client a moment.
	if err := h.standbyHolds(ctx); err != nil { // 1
		return err
	}
	return h.bindOrRelease(ctx)
}

// bindOrRelease lets commits go at once when nothing came of it: the next try may be
// the same again, and clients would wait all the time.
func (h *Hands) bindOrRelease(ctx context.Context) error {
	err := h.bind(ctx)
	if err == nil || board.Mode(h.Board.Read()) != decide.Alone { // what was pledged is kept
		return err
	}
	releasing, cancel := h.bounded(context.WithoutCancel(ctx))
	defer cancel()
	return errors.Join(err, h.PutRight(releasing))
}

// bind makes commits wait for a standby that takes them, and promises it.
func (h *Hands) bind(ctx context.Context) error {
	if err := h.applySettings(ctx, h.primarySettings(true)); err != nil { // 2
		return err
	}
	if err := h.proveNames(ctx); err != nil { // 3
		return err
	}
	if err := h.standbyHolds(ctx); err != nil { // 4, 5
		return err
	}
	pledge, err := h.pledge() // 6
	if err != nil {
		return err
	}
	r, err := h.changeFrom(ctx, pledge, record.Attach, h.me()) // 7: from what was pledged, whatever came since
	if err != nil {
		return err
	}
	h.Peer.Kick()
	return h.save(r)
}

// pledge saves what the record shall become. Of the other server's reign, which an operator
// may have forced meanwhile, this one has nothing to promise: it would never find back. And
// what leaves its arbiter must stay alone until it has turned.
func (h *Hands) pledge() (record.Record, error) {
	s := h.Board.Read()
	p := s.Record
	switch {
	case p.Primary != h.me():
		return p, fmt.Errorf("%s became primary meanwhile", p.Primary)
	case s.Moving:
		return p, errors.New("the arbiter is being moved")
	}
	p.Mode = pair.Paired
	return p, h.save(p)
}

// proveNames returns once commits are seen to wait for the standby. Backends go by
// a flag in shared memory that the checkpointer sets some time after the reload,
// and pg_stat_replication does not show it. So replay is paused on the standby,
// and a canary that asks for remote_apply must then be seen waiting.
func (h *Hands) proveNames(ctx context.Context) error {
	for {
		inForce, err := h.canaryWaits(ctx)
		if inForce {
			return nil
		}
		if err == nil {
			err = h.pause(ctx, 2*time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("prove that commits on %s wait for %s: %w", h.me(), h.other(), err)
		}
	}
}

func (h *Hands) canaryWaits(ctx context.Context) (bool, error) {
	if err := h.Peer.Call(ctx, wire.KindPauseReplay, struct{}{}, nil); err != nil {
		return false, fmt.Errorf("pause replay on %s: %w", h.other(), err)
	}
	canary, err := h.Postgres.StartCanary(ctx)
	resuming, cancel := h.bounded(context.WithoutCancel(ctx))
	resumeErr := h.Peer.Call(resuming, wire.KindResumeReplay, struct{}{}, nil)
	cancel()
	if err != nil {
		return false, err
	}
	if resumeErr != nil {
		h.Log.Warn("the standby was not told to resume replay; it does so by itself", "error", resumeErr)
	}
	if canary.InForce() {
		h.letGo(canary)
		return true, nil
	}
	return false, canary.Finish(ctx)
}

// canaryPatience is how long a canary that has shown what it should may last: shorter
// than any commit_stall_max, as it counts among the commits that wait.
const canaryPatience = 100 * time.Millisecond

// letGo ends a canary that was seen to wait. By itself it returns when the standby has
// applied everything before it: after a bulk load, or while a query there is in the way
// of replay, that may take hours, and nothing that is promised needs it. Usually it is a
// moment, and is given to it: PostgreSQL writes a warning for a wait that is cancelled.
func (h *Hands) letGo(canary Canary) {
	h.Background("end the canary", func(ctx context.Context) error {
		ctx, cancel := h.within(ctx, canaryPatience, nil)
		defer cancel()
		_ = canary.Finish(ctx) // that it was given up is no failure
		return nil
	})
}

// standbyHolds notes the newest position that is on the disk here, and waits until the
// standby has it on its own. What it is worth depends on the names being in force by
// then: a commit that did not wait for the standby was on the disk before it looked at
// them. The position for the next record would not do. It may lie behind the header of
// a page that does not exist yet, and while nothing is written nobody gets there.
func (h *Hands) standbyHolds(ctx context.Context) error {
	return h.standbyHas(ctx, "flushed", func(to *postgres.Sender) pair.LSN {
		if to == nil {
			return 0
		}
		return to.Flush
	})
}

// standbyHas waits until the standby has got as far as this server's disk is now.
func (h *Hands) standbyHas(ctx context.Context, what string, how func(*postgres.Sender) pair.LSN) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	seen, err := session.Look(ctx, string(h.other()))
	if err != nil {
		return err
	}
	goal := seen.Flush
	for how(seen.Peer) < goal {
		if err = h.pause(ctx, 2*time.Millisecond); err == nil {
			seen, err = session.Look(ctx, string(h.other()))
		}
		if err != nil {
			return fmt.Errorf("wait until %s has %s %s: %w", h.other(), what, goal, err)
		}
	}
	h.Board.Note(func(s *board.Sight) { s.Saw(seen, h.now()) })
	return nil
}
