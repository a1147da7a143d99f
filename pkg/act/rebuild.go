package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Rebuild is T7 on an operator's request. It begins only while the record is alone
// and the primary is reached and open (rule 307), and it may be cut off anywhere:
// the job on disk says how far it was.
func (h *Hands) Rebuild(ctx context.Context) error {
	job, err := h.Rebuilds.Get("")
	if err == nil && !job.Final {
		err = h.rebuildAsked(ctx, job)
		if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrStranded) {
			return err // left off for a while, or the supervisor ends and the next one goes on
		}
		err = errors.Join(err, h.Rebuilds.End(err))
	}
	h.Board.Note(func(s *board.Sight) {
		if s.Task == decide.TaskRebuild {
			s.Task = decide.NoTask
		}
	})
	return err
}

func (h *Hands) rebuildAsked(ctx context.Context, job wire.RebuildJob) error {
	work, done := h.Rebuilds.Work(ctx)
	defer done()
	swapped := job.Phase == wire.RebuildStarting || job.Phase == wire.RebuildSwapping && !h.Postgres.HasCopy()
	if swapped && h.Postgres.MarkedStandby() {
		return h.startRebuilt(ctx) // the copy is in place since before a crash
	}
	if err := h.Rebuilds.Enter(wire.RebuildStopping); err != nil {
		return err
	}
	at := h.standing(job.Request.Way)
	if err := h.stopWithLog(work, at); err != nil {
		return err
	}
	if err := h.comeBackBy(work, at, job.Request); err != nil {
		return err
	}
	return h.startRebuilt(ctx)
}

// stopWithLog stops the server. When a standby shuts down in good order it removes log
// that it needs no more itself (the restartpoint in ShutdownXLOG, xlog.c, 13 to 18): one
// that is ahead of its primary is stopped before it can, since its log is reported on.
func (h *Hands) stopWithLog(ctx context.Context, at standing) error {
	pid, running := h.Postgres.Postmaster()
	if history, err := h.history(ctx); running && err == nil && at.ahead(history) {
		bounded, cancel := h.within(ctx, immediatePatience, nil)
		defer cancel()
		if h.Postgres.Stop(bounded, pid, postgres.Immediate) == nil {
			return nil
		}
	}
	return h.stop(ctx, fastPatience)
}

// foresee finds out whether there is a way at all before a standby that runs is
// stopped for it: one that must wait for an operator goes on serving reads, or with what it
// was about.
func (h *Hands) foresee(ctx context.Context, at standing) error {
	if at.last == 0 && !at.stranded {
		return nil
	}
	h.readFiles(&at)
	history, err := h.history(ctx)
	if err != nil {
		return err
	}
	at.history = history
	w, err := at.choose()
	if err == nil && (w.name == wire.WayCopy || w.name == wire.WayCommand) {
		_, err = h.mayCopy(ctx, w, at, wire.RebuildRequest{})
	}
	if err != nil {
		return fmt.Errorf("rejoin: %w", err)
	}
	return nil
}

// stoppedInVain marks a failure for which the readers of a standby were cut off, although
// the primary is reached: they should not be again at once. ErrSourceNotReady and
// ErrStillInUse end by themselves, or are ended by the next try.
func (h *Hands) stoppedInVain(ctx context.Context, at standing, err error) error {
	for _, passing := range []error{errGivenUp, postgres.ErrSourceNotReady, postgres.ErrStillInUse} {
		if errors.Is(err, passing) {
			return err
		}
	}
	if at.last == 0 || errors.Is(err, ErrInVain) {
		return err
	}
	if _, gone := h.history(ctx); gone != nil {
		return err
	}
	return fmt.Errorf("stopped %w: %w", ErrInVain, err)
}

// comeBackBy asks the primary now and goes the way that follows.
func (h *Hands) comeBackBy(ctx context.Context, at standing, q wire.RebuildRequest) error {
	if err := h.stands(&at); err != nil {
		return err
	}
	history, err := h.history(ctx)
	if err != nil {
		return err
	}
	at.history = history
	if at.asked != "" {
		has, err := h.holdings(ctx, false)
		if err != nil {
			return err
		}
		h.missLog(&at, has.OldestWAL)
	}
	return h.comeBack(ctx, at, q)
}

// comeBack decides and goes the way.
func (h *Hands) comeBack(ctx context.Context, at standing, q wire.RebuildRequest) error {
	w, err := at.choose()
	if err != nil {
		return fmt.Errorf("rejoin: %w", err)
	}
	return h.goThe(ctx, w, at, q)
}

// standing begins with what is known of a server that runs: how far it has received
// and replayed. asked is the way that an operator wants, empty for none.
func (h *Hands) standing(asked string) standing {
	at := standing{asked: asked, other: h.other(), policy: h.Config.Policy().Rejoin, command: len(h.Config.Policy().RebuildCommand) > 0}
	s := h.Board.Read()
	at.stranded, at.receives = s.PID != 0 && s.Stranded, s.Look.Receiver.Status != ""
	if s.PID == 0 || s.LookAt == 0 || !s.Look.InRecovery {
		at.unstartable = at.stranded
		return at
	}
	at.last = max(s.Look.Received, s.Look.Replayed)
	if on, err := h.Postgres.TimelineAt(at.last); err == nil && on != 0 {
		at.lastOn = on
		at.own, _ = h.Postgres.History(on)
	} else {
		at.last = 0
	}
	return at
}

// stands adds what the files say, after what was cut off in them has been ended.
func (h *Hands) stands(at *standing) error {
	err := h.Recover()
	at.broken = errors.Is(err, postgres.ErrUnfinished)
	if err != nil && !at.broken {
		return err
	}
	h.readFiles(at)
	return nil
}

func (h *Hands) readFiles(at *standing) {
	at.empty = h.Postgres.Empty()
	if known, _, err := postgres.SavedOwn(h.OwnDir()); at.empty && err == nil {
		at.unmounted = h.Postgres.Unmounted(known)
	}
	if at.empty || at.broken {
		return
	}
	if at.control, at.unread = h.Postgres.Control(); at.unread != nil {
		return
	}
	c := at.control
	running := at.last != 0
	at.asStandby, at.clean = running || c.State.WasStandby() || h.Postgres.MarkedStandby(), c.State.CleanPrimary() && !running
	if !running {
		at.last, at.lastOn = c.Checkpoint, c.Timeline
		if c.MinRecovery > at.last {
			at.last, at.lastOn = c.MinRecovery, c.MinRecoveryTimeline
		}
		at.own, _ = h.Postgres.History(at.lastOn)
	}
}

// missLog finds out what is missing here of the log before the oldest that the primary has.
// The watcher does not tell it of a server that is down, nor of one that cannot start and has
// an archive, which may bring it: that only an operator can judge.
func (h *Hands) missLog(at *standing, oldest pair.LSN) {
	at.stranded = at.stranded || at.asStandby && !at.receives && at.last < oldest
	if lacks, err := h.Postgres.Lacks(); err == nil && lacks != 0 && lacks < oldest {
		at.unstartable = true
	}
}

// goThe goes the way. A rewind that fails before it has written anything, or in the
// middle, leaves the copy; but nothing is copied over while processes of the old server
// hold it still, perhaps because its disk hangs, and a copy would need the same place for a
// tablespace: it is waited for.
func (h *Hands) goThe(ctx context.Context, w way, at standing, q wire.RebuildRequest) error {
	if w.name == wire.WayStraight {
		h.progress("following straight: %s", w.why)
		return nil
	}
	if err := h.reportLost(ctx, w, at); err != nil {
		return fmt.Errorf("rejoin: %w", err)
	}
	if w.name == wire.WayRewind {
		err := h.rewindInJob(ctx)
		if err == nil || !w.fallback || ctx.Err() != nil || passing(err) {
			return err
		}
		h.Log.Warn("rewind failed", "error", err)
		at.broken = errors.Is(err, postgres.ErrUnfinished)
		var refused error
		if w, refused = at.copyBecause("rewind failed: "+firstLine(err), w.extra); refused != nil {
			return fmt.Errorf("rejoin: %w", refused)
		}
	}
	return h.copyAnew(ctx, w, at, q)
}

// passing is a failure of a rewind after which a copy is not begun.
func passing(err error) bool {
	return errors.Is(err, postgres.ErrSourceNotReady) || errors.Is(err, postgres.ErrStillInUse) || errors.Is(err, postgres.ErrNoPlace)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(line, "; its last lines:")
}

func (h *Hands) rewindInJob(ctx context.Context) error {
	if h.Rebuilds.Running() {
		if err := h.Rebuilds.Enter(wire.RebuildRewinding); err != nil {
			return err
		}
	}
	if err := h.mayReplace(ctx); err != nil {
		return err
	}
	return h.rewind(ctx)
}

// swap puts the copy in the place of the data, which is only half there if a rewind was
// cut off in it, and has what is put aside deleted when the copy streams, unless the
// operator wants to keep it.
func (h *Hands) swap(half, keep bool) error {
	defer h.DropLeftOver()
	h.aside.Lock()
	defer h.aside.Unlock()
	h.swaps++
	if err := h.Postgres.BeginSwap(half, keep); err != nil {
		return err
	}
	return h.endSwap()
}

// startRebuilt starts PostgreSQL as a standby. An operator may give up waiting until it
// streams: a copy may need log that nobody has any more.
func (h *Hands) startRebuilt(ctx context.Context) error {
	if err := h.Rebuilds.Commit(wire.RebuildStarting); err != nil {
		return err
	}
	work, done := h.Rebuilds.Work(ctx)
	defer done()
	if err := h.follow(work); err != nil {
		if errors.Is(context.Cause(work), ErrStranded) {
			err = fmt.Errorf("start: %w: %s has removed it; where policy.rejoin allows a rebuild a copy follows by itself, else run mcctl rebuild again, on this server", ErrStranded, h.other())
		}
		job, unknown := h.Rebuilds.Get("")
		return inVain(work, err, unknown == nil && job.Try > 0)
	}
	h.Background("save own files", func(context.Context) error { h.SaveOwn(); return nil })
	return nil
}

// DropLeftOver deletes the data that a copy has replaced, in the background, when this
// standby streams: whichever life has put it aside, and whatever has become of its job.
func (h *Hands) DropLeftOver() {
	h.aside.Lock()
	due := !h.dropping && h.Postgres.KeptOld() != ""
	h.dropping = h.dropping || due
	h.aside.Unlock()
	if due {
		h.Background("delete the data that was replaced", h.dropWhenStreaming)
	}
}

func (h *Hands) dropWhenStreaming(ctx context.Context) error {
	for {
		swaps, err := h.streams(ctx)
		if done, failed := h.drop(swaps, err == nil); done {
			return errors.Join(err, failed)
		}
	}
}

// streams waits until this standby streams, and the primary has sent something: what is put
// aside may be all that could follow it. It returns how often data had been put aside before
// that was seen.
func (h *Hands) streams(ctx context.Context) (swaps int, err error) {
	err = h.until(ctx, "this standby streams", time.Second, func(board.Sight) bool {
		h.aside.Lock()
		swaps = h.swaps
		h.aside.Unlock()
		s := h.Board.Read()
		return s.PID != 0 && s.LookAt != 0 && s.Look.InRecovery && s.Look.Receiver.Status == "streaming" && s.Look.Receiver.Answered && s.Doing == ""
	})
	return swaps, err
}

// drop deletes the old data, unless the operator who had it put aside wanted to keep it: a
// version before has noted that in its job only. It does not when data was put aside anew
// since swaps was counted: that is still needed.
func (h *Hands) drop(swaps int, streams bool) (done bool, err error) {
	h.aside.Lock()
	defer h.aside.Unlock()
	if streams && swaps != h.swaps {
		return false, nil
	}
	h.dropping = false
	if job, err := h.Rebuilds.Get(""); !streams || h.Postgres.OldIsWanted() || err == nil && job.Request.KeepOld {
		return true, nil
	}
	return true, h.Postgres.DropOld()
}

// OwnDir holds this server's own files and the places of its links, for the day when
// the data directory is emptied.
func (h *Hands) OwnDir() string { return h.Config.Path("own") }

// SaveOwn saves them, when there is something to save. It is called where
// PostgreSQL's files are known to be whole; a failure only makes a later rebuild
// poorer.
func (h *Hands) SaveOwn() {
	if _, err := os.Lstat(h.KeepDir()); err == nil {
		return // they are kept there just now
	}
	h.saving.Lock()
	defer h.saving.Unlock()
	large, err := h.Postgres.SaveOwn(h.OwnDir())
	if err != nil {
		h.Log.Warn("this server's own files were not saved for a later rebuild", "error", err)
	}
	if len(large) > 0 {
		h.Log.Warn("of what is in the data directory this is not saved for a later rebuild: it is larger than 1 MB", "names", large)
	}
}
