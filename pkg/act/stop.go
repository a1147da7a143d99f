package act

import (
	"context"
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Patience with a server that must not stay open. A fast shutdown waits for
// walsenders, and one to an unreachable standby for wal_sender_timeout.
const (
	fastPatience      = 3 * time.Second
	immediatePatience = 2 * time.Second
)

// Retire stops PostgreSQL because the record names the other server. It ends without the
// checkpoint of a good shutdown: that would remove the log by which this server is rewound,
// back to the last checkpoint before the other one took over
// (TestFactAFastStopRemovesTheLogThatARewindReads), and gain nothing, as it would be a
// record that the other's history lacks. One that has shut down is left the time to archive
// its last log, as after a switch.
func (h *Hands) Retire(ctx context.Context) error {
	if c, err := h.Postgres.Control(); err == nil && c.State == postgres.ShutDown {
		return h.Withdraw(ctx)
	}
	return h.leave(ctx, pushed{postgres.Immediate, immediatePatience})
}

// Withdraw stops PostgreSQL because nobody can be asked whether it may stay open. It may well
// be opened again: then a good shutdown has lost no commit that was not to wait for the disk,
// and is not taken for a crash, at which the other server would be given the role.
func (h *Hands) Withdraw(ctx context.Context) error {
	return h.leave(ctx, gently(fastPatience)...)
}

// leave stops a server that must not stay open. With a disk that fails there is nothing to
// be waited for: a shutdown would write to it.
func (h *Hands) leave(ctx context.Context, by ...pushed) error {
	if pid, running := h.Postgres.Postmaster(); running && h.Board.Read().DiskFailed {
		return h.Postgres.Kill(pid)
	}
	return h.stopBy(ctx, by...)
}

// Restart ends a PostgreSQL that no longer answers; the next turn starts it.
func (h *Hands) Restart(context.Context) error {
	return h.Postgres.Kill(h.Board.Read().PID)
}

// Stop is the operator's stop. A standby says goodbye first, so that no commit
// waits for it; a primary says that it stops on purpose, so that nobody takes over, also
// when its PostgreSQL was down before. Whether it runs is asked of the server itself: a
// start that was left off may just have launched it, and the board lags behind.
func (h *Hands) Stop(ctx context.Context) error {
	h.sayGoodbye(ctx, h.Board.Read())
	if _, running := h.Postgres.Postmaster(); !running {
		return nil
	}
	h.progress("stopping PostgreSQL")
	defer h.SaveOwn()
	return h.stop(ctx, h.Config.Timings().ShutdownTimeout.Duration)
}

func (h *Hands) sayGoodbye(ctx context.Context, s board.Sight) {
	kind := wire.KindResting
	if !s.Names(h.me()) {
		kind = wire.KindRelease
	}
	h.progress("telling %s", h.other())
	if err := h.goodbye(ctx, kind, s); err != nil {
		h.Log.Warn("the other server was not told of the stop", "error", err)
	}
}

// TakeLeave asks the primary to go on without this standby. A refusal (wire.ErrRefused) is
// its word that it cannot, so that commits would wait; no answer says nothing.
func (h *Hands) TakeLeave(ctx context.Context) error {
	return h.goodbye(ctx, wire.KindRelease, h.Board.Read())
}

func (h *Hands) goodbye(ctx context.Context, kind string, s board.Sight) error {
	ctx, cancel := h.within(ctx, h.goodbyePatience(kind, s), nil)
	defer cancel()
	return h.Peer.Call(ctx, kind, struct{}{}, nil)
}

// goodbyePatience: with a record that is alone nothing waits for a standby.
func (h *Hands) goodbyePatience(kind string, s board.Sight) time.Duration {
	if kind == wire.KindRelease && board.Mode(s) == decide.Alone {
		return h.Config.Timings().HeartbeatInterval.Duration
	}
	return 2 * h.Config.Timings().HeartbeatTimeout.Duration
}

// stop tries fast, then immediate, then SIGKILL.
func (h *Hands) stop(ctx context.Context, patience time.Duration) error {
	return h.stopBy(ctx, gently(patience)...)
}

// pushed is a way to stop PostgreSQL, and how long it may take.
type pushed struct {
	mode     postgres.StopMode
	patience time.Duration
}

// gently is fast, and immediate where that takes longer.
func gently(patience time.Duration) []pushed {
	return []pushed{{postgres.Fast, patience}, {postgres.Immediate, immediatePatience}}
}

// stopBy tries one way after the other, then SIGKILL.
func (h *Hands) stopBy(ctx context.Context, ways ...pushed) error {
	pid, running := h.Postgres.Postmaster()
	if !running {
		return nil
	}
	for _, try := range ways {
		bounded, cancel := h.within(ctx, try.patience, nil)
		done := h.endSendersMeanwhile(bounded, pid)
		err := h.Postgres.Stop(bounded, pid, try.mode)
		done()
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop PostgreSQL: %w", context.Cause(ctx))
		}
		h.Log.Warn("PostgreSQL does not stop", "error", err)
	}
	return h.Postgres.Kill(pid)
}
