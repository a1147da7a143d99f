package act

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Rejoin is T7: come back as the standby of the server that took over. Straight
// when its history holds everything that is here, else by rewind, else by a new
// copy. Nothing is rewound or replaced unless the new primary was reached now, is
// open by the newest record, and is on a newer timeline (S4).
func (h *Hands) Rejoin(ctx context.Context) error {
	if err := h.stop(ctx, fastPatience); err != nil {
		return err
	}
	err := h.Recover()
	broken := errors.Is(err, postgres.ErrUnfinished)
	if err != nil && !broken {
		return err
	}
	history, err := h.history(ctx)
	if err != nil {
		return err
	}
	if err := h.comeBack(ctx, history, broken); err != nil {
		return err
	}
	h.progress("starting")
	if err := h.StartStandby(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	if err := h.until(bounded, "the new standby streams", 10*time.Millisecond, func(s board.Sight) bool {
		return s.Look.Receiver.Status == "streaming"
	}); err != nil {
		return err
	}
	h.Background("delete the data that was replaced", func(context.Context) error { return h.Postgres.DropOld() })
	return nil
}

// streamPatience is how long a server that came back may take until it streams.
const streamPatience = 30 * time.Second

// Recover ends what was cut off in the data directory: configuration files that a
// rewind overwrote, a swap of directories. postgres.ErrUnfinished: it needs a copy.
func (h *Hands) Recover() error {
	if err := h.Postgres.RecoverSwap(); err != nil {
		return err
	}
	return h.Postgres.RestoreKept(h.KeepDir())
}

// KeepDir holds this server's configuration files while pg_rewind overwrites them.
func (h *Hands) KeepDir() string { return h.Config.Path("kept") }

// history asks the other server, now, whether it is the open primary of the newest
// term and where its timelines forked.
func (h *Hands) history(ctx context.Context) (wire.HistoryAnswer, error) {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	var a wire.HistoryAnswer
	if err := h.Peer.Call(ctx, wire.KindHistory, struct{}{}, &a); err != nil {
		return a, fmt.Errorf("ask %s for its history: %w", h.other(), err)
	}
	known := h.Board.Read().Record
	if a.Record.Primary != h.other() || known.Primary != h.other() || a.Record.Term < known.Term {
		return a, fmt.Errorf("ask %s for its history: it reigns by %s, and here %s is known", h.other(), a.Record, known)
	}
	return a, nil
}

func (h *Hands) comeBack(ctx context.Context, history wire.HistoryAnswer, broken bool) error {
	if broken {
		return h.rebuild(ctx, "the data directory is half rewound")
	}
	control, err := h.Postgres.Control()
	if err != nil {
		return err
	}
	if control.SystemID != history.SystemID {
		return fmt.Errorf("rejoin: the data directory is of cluster %d, %s is of %d: they were never copies of each other; check data_directory", control.SystemID, h.other(), history.SystemID)
	}
	// The shutdown checkpoint was the last record: whoever has its first byte has it all.
	if control.State.CleanPrimary() && board.Contains(history, control.Timeline, control.Checkpoint+1) {
		h.progress("following straight: nothing here is missing there")
		return nil
	}
	if history.Timeline <= control.Timeline {
		return fmt.Errorf("rejoin: this server is on timeline %d, %s only on %d, and their histories part: which data is right is for an operator to say; to give up what is here, move %s away and copy the server anew",
			control.Timeline, h.other(), history.Timeline, h.Postgres.Data)
	}
	if !h.may(config.Rewind) {
		return h.rebuild(ctx, "policy.rejoin does not allow rewind")
	}
	err = h.rewind(ctx)
	if err == nil || ctx.Err() != nil || errors.Is(err, postgres.ErrSourceNotReady) {
		return err
	}
	h.Log.Warn("rewind failed", "error", err)
	return h.rebuild(ctx, "rewind failed")
}

func (h *Hands) may(way config.Rejoin) bool {
	return slices.Contains(h.Config.Policy().Rejoin, way)
}

func (h *Hands) rewind(ctx context.Context) error {
	h.progress("rewinding")
	return h.Postgres.Rewind(ctx, h.copySource(), postgres.RewindOptions{
		KeepDir:  h.KeepDir(),
		Progress: func(line string) { h.progress("rewinding: %s", line) },
	})
}

// rebuild copies the primary anew beside the old data, which stays until the copy
// streams.
func (h *Hands) rebuild(ctx context.Context, why string) error {
	if !h.may(config.Rebuild) {
		return fmt.Errorf("rejoin: %s, and policy.rejoin does not allow a rebuild; allow it or copy the server by hand", why)
	}
	h.Log.Info("rebuilding", "because", why)
	h.progress("copying: %s", why)
	err := h.Postgres.BaseBackup(ctx, h.copySource(), postgres.BackupOptions{
		Progress: func(done, total int64) { h.progress("copying %d of %d MB", done>>20, total>>20) },
	})
	if err != nil {
		return err
	}
	if _, err := h.history(ctx); err != nil { // S4 again: the copy took its time
		return err
	}
	if err := h.Postgres.DropOld(); err != nil { // of a rebuild whose copy never streamed
		return err
	}
	if err := h.Postgres.Swap(); err != nil {
		return err
	}
	return h.Postgres.DropKept(h.KeepDir())
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
