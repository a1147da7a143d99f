package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// askAgain is the pace of asking for promotion. A single request can be slept over
// for wal_retrieve_retry_interval (5 s by default) when the walreceiver has just
// ended (PostgreSQL 15, WaitForWALToBecomeAvailable).
const askAgain = 10 * time.Millisecond

// Promote is the rest of T3. The copy is saved before PostgreSQL may open: a keeper
// that loses its records finds them again from what the servers know, and this one
// must not have forgotten, after a crash, that it was promoted. The names are commented out while PostgreSQL ends
// recovery: a commit that comes before the reload waits for it, no longer.
// PostgreSQL itself ends the walreceiver before it ends recovery
// (TestFactAcknowledgedCommitsSurvivePromotion). The slot for the old primary is
// made before PostgreSQL ends recovery, see reserve; what is made afterwards is only the
// second chance.
func (h *Hands) Promote(ctx context.Context) error {
	ctx, cancel := h.within(ctx, h.Config.Timings().PromoteTimeout.Duration, nil)
	defer cancel()
	r := h.Board.Read().Record
	written := h.Aside(func() error { return h.writeSettings(ctx, h.primarySettings(false)) })
	reserved := h.reserve(ctx)
	var session Session
	err := h.save(r)
	if err == nil {
		reserved()
		defer h.endReadersMeanwhile(ctx)()
		session, err = h.askPromotion(ctx)
	}
	if err := errors.Join(err, written(context.WithoutCancel(ctx))); err != nil {
		if session != nil {
			session.Close()
		}
		return err
	}
	h.Look()
	if err := session.EnsureSlot(ctx, settings.Slot(h.other())); err != nil {
		h.Log.Warn("no slot for the other server: it may need a rebuild", "error", err)
	}
	h.Background("checkpoint after promotion", func(ctx context.Context) error {
		defer session.Close()
		defer h.Look()
		return session.Checkpoint(ctx) // pg_rewind reads the new timeline from the control file
	})
	return nil
}

// reservePatience is how long a promotion waits for the slot, counted from when the copy is
// saved beside it: clients wait, and the disk may be slow. With that start the slot mostly
// comes in time even so: the promotion has as much to sync to the same disk.
const reservePatience = 100 * time.Millisecond

// reserve begins to make the slot for the old primary, and hands back what waits for it. In
// recovery it reserves from the last restartpoint's redo, which is what the old primary
// starts from when it has been rewound. The checkpoint that PostgreSQL begins by itself once
// it is open moves that to behind the fork at once, and then removes what comes before
// (TestFactASlotMadeInRecoveryReachesBackBehindTheFork): the old primary would ask for it
// for ever.
func (h *Hands) reserve(ctx context.Context) (wait func()) {
	made := h.Aside(func() error { return h.EnsureSlot(ctx) })
	return func() {
		ctx, cancel := h.within(ctx, reservePatience, errSlowSlot)
		defer cancel()
		if err := made(ctx); err != nil {
			h.Log.Info("the slot for the other server was not made before the promotion", "error", err)
		}
	}
}

var errSlowSlot = fmt.Errorf("not within %s", reservePatience)

// readersPatience is how long a promotion goes on by itself before somebody looks whether
// readers are in its way: nearly all are through by then.
const readersPatience = 200 * time.Millisecond

// endReadersMeanwhile ends the sessions that replay waits for, until done. PostgreSQL does
// not open before it has replayed everything, and clients wait for this server now.
func (h *Hands) endReadersMeanwhile(ctx context.Context) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := h.Aside(func() (err error) {
		for h.pause(ctx, readersPatience) == nil {
			if failed := h.endReaders(ctx); ctx.Err() == nil {
				err = failed
			}
		}
		return err
	})
	return func() {
		cancel()
		if err := ended(context.WithoutCancel(ctx)); err != nil {
			h.Log.Info("whether readers were in the way of the promotion is not known", "error", err)
		}
	}
}

func (h *Hands) endReaders(ctx context.Context) error {
	session, err := h.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	n, err := session.EndReaders(ctx)
	if n > 0 {
		h.tell("ended sessions that replay waited for, %d of them: this server takes over", n)
	}
	return err
}

// askPromotion asks until PostgreSQL is out of recovery, and hands back a session on
// it. It goes by pg_control, which says so when sessions may write
// (TestFactInProductionIsOpen): a session that is asked again and again would take
// its share of the machine from the promotion that it waits for.
func (h *Hands) askPromotion(ctx context.Context) (Session, error) {
	pid := h.Board.Read().PID
	var asked time.Duration
	for {
		if h.now()-asked >= askAgain {
			if err := h.Postgres.AskPromotion(pid); err != nil {
				return nil, err
			}
			asked = h.now()
		}
		if c, err := h.Postgres.Control(); err == nil && c.State == postgres.InProduction {
			return h.Postgres.Connect(ctx)
		}
		if err := h.pause(ctx, time.Millisecond); err != nil {
			return nil, fmt.Errorf("promote: %w", err)
		}
	}
}
