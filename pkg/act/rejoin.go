package act

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Rejoin is T7: come back as the standby of the server that took over. Straight
// when its history holds everything that is here, else by rewind, else by a new
// copy. Nothing is rewound or replaced unless the new primary was reached now, is
// open by the newest record, and is on a newer timeline (S4).
func (h *Hands) Rejoin(ctx context.Context) error {
	at := h.standing("")
	if err := h.foresee(ctx, at); err != nil {
		return err
	}
	if err := h.stop(ctx, fastPatience); err != nil {
		return err
	}
	if err := h.comeBackBy(ctx, at, wire.RebuildRequest{}); err != nil {
		return h.stoppedInVain(ctx, at, err)
	}
	job, err := h.Rebuilds.Get("")
	if err == nil && job.Automatic && !job.Final { // a copy was made
		err = h.startRebuilt(ctx)
		return errors.Join(err, h.Rebuilds.End(err))
	}
	return h.follow(ctx)
}

// follow starts PostgreSQL as a standby and returns when it streams.
func (h *Hands) follow(ctx context.Context) error {
	h.progress("starting")
	h.starting(true)
	defer h.starting(false)
	if err := h.StartStandby(ctx); err != nil {
		return err
	}
	return h.awaitStream(ctx)
}

// starting notes for the runner that what is under way may be left off like any start.
func (h *Hands) starting(is bool) {
	h.Board.Note(func(s *board.Sight) { s.Starting = is })
}

// awaitStream is patient with a standby that gets on: one that was restored from a
// backup first replays what the archive has, for hours perhaps.
func (h *Hands) awaitStream(ctx context.Context) error {
	streams, replayed := false, pair.LSN(0)
	for !streams {
		bounded, cancel := h.within(ctx, streamPatience, nil)
		err := h.until(bounded, "the new standby streams", 10*time.Millisecond, func(s board.Sight) bool {
			streams = s.Look.Receiver.Status == "streaming"
			return streams || s.Look.Replayed > replayed
		})
		cancel()
		if err != nil {
			return err
		}
		replayed = h.Board.Read().Look.Replayed
	}
	return nil
}

// streamPatience is how long a server that came back may replay nothing until it streams.
const streamPatience = 30 * time.Second

// Recover ends what was cut off in the data directory: configuration files that a
// rewind overwrote, a swap of directories. postgres.ErrUnfinished: it needs a copy.
// postgres.ErrUnmounted: it needs its file system, and what is here instead is not touched.
func (h *Hands) Recover() error {
	if err := h.endSwap(); err != nil {
		return err
	}
	return h.Postgres.RestoreKept(h.KeepDir())
}

// endSwap ends a swap that is past its point of no return. What was kept of the data
// that the copy replaces goes before there is a data directory again: it would say of the
// copy that it is half written.
func (h *Hands) endSwap() error {
	if h.Postgres.Swapping() {
		if err := h.Postgres.DropKept(h.KeepDir()); err != nil {
			return err
		}
	}
	return h.Postgres.RecoverSwap()
}

// KeepDir holds this server's configuration files while pg_rewind overwrites them.
func (h *Hands) KeepDir() string { return h.Config.Path("kept") }

// history asks the other server, now, whether it is the open primary of the newest
// term and where its timelines forked.
func (h *Hands) history(ctx context.Context) (wire.HistoryAnswer, error) {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	var a wire.HistoryAnswer
	q := wire.HistoryRequest{Streams: h.Board.Read().Look.Receiver.Status == "streaming"}
	if err := h.Peer.Call(ctx, wire.KindHistory, q, &a); err != nil {
		return a, fmt.Errorf("ask %s for its history: %w", h.other(), err)
	}
	known := h.Board.Read().Record
	if a.Record.Primary != h.other() || known.Primary != h.other() || a.Record.Term < known.Term {
		return a, fmt.Errorf("ask %s for its history: it reigns by %s, and here %s is known", h.other(), a.Record, known)
	}
	return a, nil
}

// mayReplace asks right before data is rewound or replaced: time has passed since that
// was decided, and while the record is paired this data may be the other good copy (S4).
func (h *Hands) mayReplace(ctx context.Context) error {
	a, err := h.history(ctx)
	if known := h.Board.Read().Record; err == nil && (a.Record.Mode != pair.Alone || known.Mode != pair.Alone) {
		err = fmt.Errorf("replace the data of %s: the pair is paired again: %s reigns by %s, and here %s is known", h.me(), h.other(), a.Record, known)
	}
	return err
}

// rewind ends what is left of a postmaster that died and has not left by itself: a process
// that waits for a lock whose holder has died never does.
func (h *Hands) rewind(ctx context.Context) error {
	err := h.tryRewind(ctx)
	if !errors.Is(err, postgres.ErrStillInUse) {
		return err
	}
	if err := h.pause(ctx, leftoverPatience); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := h.Postgres.KillLeftovers(); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := h.pause(ctx, leftoverPatience/10); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return h.tryRewind(ctx)
}

// leftoverPatience is how long the processes of a postmaster that died may take to leave.
const leftoverPatience = 2 * time.Second

func (h *Hands) tryRewind(ctx context.Context) error {
	h.progress("rewinding")
	return h.Postgres.Rewind(ctx, h.copySource(), postgres.RewindOptions{
		KeepDir:  h.KeepDir(),
		Progress: func(line string) { h.progress("rewinding: %s", line) },
	})
}

// copySource is the other server as this one copies from it. Under the standby's own
// name a copy that receives log would count as the synchronous standby.
func (h *Hands) copySource() postgres.Source {
	source := h.upstream()
	source.ApplicationName = "mcctl_copy_" + string(h.me())
	return source
}

// upstream is the other server as this one streams from it.
func (h *Hands) upstream() postgres.Source {
	host, port, _ := net.SplitHostPort(h.Config.Endpoint(h.other()).Replication) // checked by config.Load
	number, _ := strconv.Atoi(port)
	r := h.Config.Server.Replication
	return postgres.Source{Host: host, Port: number, User: r.User, Database: h.Config.Server.Postgres.Database, Passfile: r.Passfile, ApplicationName: string(h.me()), Options: r.Options}
}
