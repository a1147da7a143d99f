package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// StartOpen starts the primary for clients: the record is alone (T5), and so says the
// own copy before a commit can be acknowledged.
func (h *Hands) StartOpen(ctx context.Context) error {
	if err := h.save(h.Board.Read().Record); err != nil {
		return err
	}
	if err := h.Postgres.ClearStandby(); err != nil {
		return err
	}
	if err := h.start(ctx, h.primarySettings(false), noGate); err != nil {
		return err
	}
	return h.EnsureSlot(ctx)
}

// StartGated starts the primary for the supervisor and replication only (T6).
func (h *Hands) StartGated(ctx context.Context) error {
	if err := h.Postgres.ClearStandby(); err != nil {
		return err
	}
	if err := h.start(ctx, h.primarySettings(board.Mode(h.Board.Read()) != decide.Alone), h.site().CloseGate); err != nil {
		return err
	}
	return h.EnsureSlot(ctx)
}

// EnsureSlot makes sure that the other server finds its slot here.
func (h *Hands) EnsureSlot(ctx context.Context) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.EnsureSlot(ctx, settings.Slot(h.other()))
}

// abandoned is from what age on a walsender for a standby that does not stream is a
// leftover of its time before: the receiver of a younger one may be just starting.
const abandoned = 2 * time.Second

// OfferSlot makes sure that the other server, which says that it does not stream, finds
// its slot here, and free.
func (h *Hands) OfferSlot(ctx context.Context) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	slot := settings.Slot(h.other())
	if err := session.EnsureSlot(ctx, slot); err != nil {
		return err
	}
	freed, err := session.FreeSlot(ctx, slot, abandoned)
	if freed {
		h.Log.Info("the slot was held by the walsender of a connection that the standby no longer has; it was ended", "slot", slot)
	}
	return err
}

// StartStandby starts PostgreSQL in recovery. When the record names this server
// (its promotion was cut off) it is promoted next.
func (h *Hands) StartStandby(ctx context.Context) error {
	if err := h.Postgres.MarkStandby(); err != nil {
		return err
	}
	if err := h.start(ctx, h.standbySettings(), noGate); err != nil {
		return err
	}
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := h.readAgain(ctx, session, h.standbySettings()); err != nil {
		return err
	}
	return h.settle(ctx, session)
}

// readAgain has a server that has started read its files once more if it has not what
// they say: it met them half written, because somebody was just saving them.
func (h *Hands) readAgain(ctx context.Context, session Session, w settings.Wanted) error {
	wrong, err := notInForce(ctx, session, w)
	if err != nil || len(wrong) == 0 {
		return err
	}
	h.Log.Info("PostgreSQL started without settings that its files have; it reads them again", "first", wrong[0].Name)
	return h.applySettings(ctx, w)
}

// settle undoes what an earlier life may have left on a standby: replay paused by
// an attach proof that was cut off, and the slot of its time as primary, which
// would pin log for ever.
func (h *Hands) settle(ctx context.Context, session Session) error {
	if err := session.ResumeReplay(ctx); err != nil {
		return err
	}
	if err := session.DropSlot(ctx, settings.Slot(h.other())); err != nil {
		h.Log.Warn("the slot of this server's time as primary stays", "error", err)
	}
	return nil
}

// start starts the postmaster and waits until it lets the supervisor in. The
// backends of a postmaster that was killed may hold its memory for a moment.
func (h *Hands) start(ctx context.Context, w settings.Wanted, closeGate func() (Gate, error)) error {
	err := h.tryStart(ctx, w, closeGate)
	h.Board.Note(func(s *board.Sight) {
		switch {
		case err == nil:
			s.StartsFailed = 0
		case ctx.Err() == nil: // one that was left off tells nothing
			s.StartsFailed++
		}
	})
	return err
}

func noGate() (Gate, error) { return Gate{}, nil }

func (h *Hands) tryStart(ctx context.Context, w settings.Wanted, closeGate func() (Gate, error)) error {
	if err := h.writeSettings(ctx, w); err != nil {
		return err
	}
	gate, err := closeGate()
	if err != nil {
		return err
	}
	options := postgres.StartOptions{
		HBAFile: gate.HBAFile,
		// A postmaster that starts anew by itself after a crash would let clients in
		// past the gate.
		Settings: map[string]string{"restart_after_crash": "off"},
	}
	for began := h.now(); ; {
		pid, err := h.Postgres.Start(options)
		if err == nil {
			err = h.Postgres.WaitReady(ctx)
		}
		if errors.Is(err, postgres.ErrElsewhere) { // nobody reaches it there, and the next start may read better
			return errors.Join(err, h.Postgres.Stop(ctx, pid, postgres.Fast))
		}
		if gate.HBAFile != "" && postgres.Refusal(err) != "" { // it would stay closed for ever
			return errors.Join(gate.refused(err), h.Postgres.Stop(ctx, pid, postgres.Fast))
		}
		if !errors.Is(err, postgres.ErrStillInUse) {
			return err
		}
		if h.now()-began > leftoverPatience {
			if err := h.Postgres.KillLeftovers(); err != nil {
				return err
			}
		}
		if err := h.pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("start PostgreSQL: %w", err)
		}
	}
}
