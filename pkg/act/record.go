package act

import (
	"context"
	"errors"
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// change asks the keeper for a transition from the newest record known here.
func (h *Hands) change(ctx context.Context, t record.Transition, to pair.Server) (record.Record, error) {
	return h.changeFrom(ctx, h.Board.Read().Record, t, to)
}

// changeFrom asks for a transition from this record. What the keeper answers goes on
// the board before anything else happens. Any error means: not known to have
// happened (a lost answer too).
func (h *Hands) changeFrom(ctx context.Context, from record.Record, t record.Transition, to pair.Server) (record.Record, error) {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	next, err := h.Keeper.Change(ctx, record.Change{Transition: t, By: h.me(), To: to, From: from.Revision})
	if err == nil {
		h.Board.Note(func(s *board.Sight) { s.Learn(next, true) })
		return next, nil
	}
	if errors.Is(err, record.ErrConflict) {
		if now, readErr := h.Keeper.Read(ctx); readErr == nil {
			h.Board.Note(func(s *board.Sight) { s.Learn(now, true) })
		}
	}
	return record.Record{}, fmt.Errorf("change record: %w", err)
}

// bounded gives others the time of a heartbeat timeout to answer: only one action
// runs at a time, and no answer is an answer.
func (h *Hands) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return h.within(ctx, h.Config.Timings().HeartbeatTimeout.Duration, nil)
}

// save writes this server's own copy. A newer one that is there already is as good.
func (h *Hands) save(r record.Record) error {
	if err := h.Copy.Save(r); err != nil && !errors.Is(err, record.ErrConflict) {
		return err
	}
	h.Board.Note(func(s *board.Sight) { s.Copy = h.Copy.Get() })
	return nil
}

// announce tells the other server of a record that the keeper has confirmed. The
// other one learns it from the keeper as well: this only is faster.
func (h *Hands) announce(ctx context.Context, r record.Record) {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	if err := h.Peer.Call(ctx, wire.KindLearn, r, nil); err != nil {
		h.Log.Info("the other server was not told the record; it will read it", "error", err)
	}
}
