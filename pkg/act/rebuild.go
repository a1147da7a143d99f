package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/hook"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// copyTries bounds how often a copy is begun again by itself, while the primary is
// reached: a connection may break once in some hours, but not every time.
const copyTries = 3

// Rebuild is T7 on an operator's request. It begins only while the record is alone
// and the primary is reached and open (rule 307), and it may be cut off anywhere:
// the job on disk says how far it was.
func (h *Hands) Rebuild(ctx context.Context) error {
	job, err := h.Rebuilds.Get("")
	if err == nil && !job.Final {
		err = h.rebuildAsked(ctx, job)
		if err != nil && ctx.Err() != nil {
			return err // the supervisor ends; the next one goes on
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
// stopped for it: one that must wait for an operator goes on serving reads.
func (h *Hands) foresee(ctx context.Context, at standing) error {
	if at.last == 0 {
		return nil
	}
	h.readFiles(&at)
	history, err := h.history(ctx)
	if err != nil {
		return err
	}
	at.history = history
	if _, err := at.choose(); err != nil {
		return fmt.Errorf("rejoin: %w", err)
	}
	return nil
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
	if s.PID == 0 || s.LookAt == 0 || !s.Look.InRecovery {
		return at
	}
	at.last, at.stranded = max(s.Look.Received, s.Look.Replayed), s.Stranded
	if on, err := h.Postgres.TimelineAt(at.last); err == nil && on != 0 {
		at.lastOn = on
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
	}
}

// goThe goes the way. A rewind that fails before it has written anything, or in the
// middle, leaves the copy; but nothing is copied over while processes of the old server
// hold it still, perhaps because its disk hangs.
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
		if err == nil || !w.fallback || ctx.Err() != nil || errors.Is(err, postgres.ErrSourceNotReady) || errors.Is(err, postgres.ErrStillInUse) {
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

// copyAnew copies the primary. What the supervisor begins by itself is a job too: it
// can be followed and given up like one that was asked for.
func (h *Hands) copyAnew(ctx context.Context, w way, at standing, q wire.RebuildRequest) error {
	h.Log.Info("rebuilding", "way", w.name, "because", w.why)
	plan := wire.RebuildPlan{Server: h.me(), From: h.other(), Way: w.name, Why: w.why, Extra: w.extra}
	_, own, err := h.Rebuilds.Begin(plan, q, at.asked == "")
	if err != nil {
		return err
	}
	if !own {
		h.Rebuilds.Changed(w.name, w.why)
		return h.tryCopies(ctx, w, at, q)
	}
	work, done := h.Rebuilds.Work(ctx)
	defer done()
	err = h.tryCopies(work, w, at, q)
	if err != nil {
		return errors.Join(err, h.Rebuilds.End(err))
	}
	return nil // Rejoin ends the job, when the copy streams
}

func (h *Hands) tryCopies(ctx context.Context, w way, at standing, q wire.RebuildRequest) error {
	inPlace, err := h.inPlace(ctx, at, q)
	if err != nil {
		return err
	}
	if err := h.roomFor(ctx, inPlace); err != nil {
		return err
	}
	options, err := h.copyOptions(w, at, q)
	if err != nil {
		return err
	}
	note := ""
	for try := 1; ; try++ {
		h.Rebuilds.NewTry(note)
		err := h.copyOnce(ctx, w, at, options, inPlace)
		if err == nil || ctx.Err() != nil || errors.Is(err, errSwap) {
			return err
		}
		if _, gone := h.history(ctx); gone != nil {
			return err
		}
		if try == copyTries || errors.Is(err, syscall.ENOSPC) || fullDisk(err) {
			return h.inVain(w, err)
		}
		h.Log.Warn("the copy failed and is begun again", "error", err)
		note = "begun again after: " + firstLine(err)
		at.broken = at.broken || inPlace
		if err := h.pause(ctx, time.Duration(try)*time.Second); err != nil {
			return err
		}
	}
}

// ErrCopiedInVain marks the failure of a copy that has cost something, although the
// primary is reached: hours of its disks perhaps, or of a repository that is paid for.
// Nobody should begin the next one at once.
var ErrCopiedInVain = errors.New("copied in vain")

func (h *Hands) inVain(w way, err error) error {
	if job, known := h.Rebuilds.Get(""); known == nil && job.Done == 0 && w.name != wire.WayCommand {
		return err // it came to nothing at once
	}
	return fmt.Errorf("%w: %w", ErrCopiedInVain, err)
}

// fullDisk: pg_basebackup tells it only in words (strerror of ENOSPC under LC_ALL=C).
func fullDisk(err error) bool { return strings.Contains(err.Error(), "No space left on device") }

// inPlace decides whether the copy replaces the old data as it comes in. Nobody
// gives up old data that is whole without an operator's word.
func (h *Hands) inPlace(ctx context.Context, at standing, q wire.RebuildRequest) (bool, error) {
	known, _, err := postgres.SavedOwn(h.OwnDir())
	if err != nil {
		return false, err
	}
	err = h.Postgres.CanCopyBeside(ctx, h.copySource(), known)
	switch {
	case err == nil:
		return q.InPlace, nil
	case !errors.Is(err, postgres.ErrNotBeside):
		return false, err
	case q.InPlace || at.empty || at.broken:
		return true, nil
	}
	return false, fmt.Errorf("%w; the old data must be emptied before the copy is made, and until that is whole this server has none: if that is right, mcctl rebuild --in-place", err)
}

func (h *Hands) copyOnce(ctx context.Context, w way, at standing, options postgres.BackupOptions, inPlace bool) error {
	h.progress("copying: %s", w.why)
	if inPlace {
		if err := h.mayReplace(ctx); err != nil {
			return err
		}
		if err := h.Rebuilds.Commit(wire.RebuildCopying); err != nil {
			return err
		}
		h.saving.Lock() // half emptied files must not be taken for this server's own
		defer h.saving.Unlock()
		if err := h.Postgres.BaseBackupInPlace(ctx, h.copySource(), h.KeepDir(), options); err != nil {
			return err
		}
		h.Rebuilds.Whole()
		return nil
	}
	if err := h.Rebuilds.Enter(wire.RebuildCopying); err != nil {
		return err
	}
	if err := h.Postgres.BaseBackup(ctx, h.copySource(), options); err != nil {
		return errors.Join(err, h.Postgres.DropCopy()) // it takes up room, and nobody can go on with it
	}
	h.Rebuilds.Whole()
	if err := h.mayReplace(ctx); err != nil {
		return errors.Join(err, h.Postgres.DropCopy())
	}
	if err := h.Rebuilds.Commit(wire.RebuildSwapping); errors.Is(err, errGivenUp) {
		return errors.Join(err, h.Postgres.DropCopy())
	} else if err != nil { // it may be on the disk, and without a copy that means a swap which has ended
		return err
	}
	if err := h.swap(at.broken); err != nil {
		return fmt.Errorf("%w: %w", errSwap, err)
	}
	return nil
}

// errSwap: what was begun there is finished, and no other copy may come in between.
var errSwap = errors.New("put the copy in its place")

// swap puts the copy in the place of the data, which is only half there if a rewind was
// cut off in it, and has what is put aside deleted when the copy streams.
func (h *Hands) swap(half bool) error {
	defer h.DropLeftOver()
	h.aside.Lock()
	defer h.aside.Unlock()
	h.swaps++
	if err := h.Postgres.BeginSwap(half); err != nil {
		return err
	}
	return h.endSwap()
}

func (h *Hands) copyOptions(w way, at standing, q wire.RebuildRequest) (postgres.BackupOptions, error) {
	known, own, err := postgres.SavedOwn(h.OwnDir())
	options := postgres.BackupOptions{
		// No slot is named: pg_basebackup makes one for itself. The standby's own slot,
		// which the primary has seen to when it told its history, stays where it is and
		// keeps the log for the copy and for the old data alike, which may still be needed.
		MaxRate: q.MaxRate, Known: known, Own: own,
		Progress: func(done, total int64) {
			h.Rebuilds.Copied(done, total)
			h.progress("copying %d of %d MB", done>>20, total>>20)
		},
	}
	if err != nil || w.name != wire.WayCommand {
		return options, err
	}
	program, err := h.copyCommand()
	options.By = &postgres.CopyCommand{
		Program: program, SystemID: at.history.SystemID,
		Line: func(line string) { h.progress("copying: %s", line) },
	}
	return options, err
}

// copyCommand is the site's program, unless nobody may be trusted to have written it.
func (h *Hands) copyCommand() ([]string, error) {
	program := h.Config.Policy().RebuildCommand
	if len(program) == 0 {
		return nil, errors.New("policy.rebuild_command is not set in pair.toml")
	}
	if err := hook.Judge(program[0]); err != nil {
		return nil, fmt.Errorf("policy.rebuild_command: %w", err)
	}
	return program, nil
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
		return err
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

// streams waits until this standby streams, and returns how often data had been put
// aside before that was seen.
func (h *Hands) streams(ctx context.Context) (swaps int, err error) {
	err = h.until(ctx, "this standby streams", time.Second, func(board.Sight) bool {
		h.aside.Lock()
		swaps = h.swaps
		h.aside.Unlock()
		s := h.Board.Read()
		return s.PID != 0 && s.LookAt != 0 && s.Look.InRecovery && s.Look.Receiver.Status == "streaming" && s.Doing == ""
	})
	return swaps, err
}

// drop deletes the old data, unless the operator wanted to keep it. It does not when data
// was put aside anew since swaps was counted: that is still needed.
func (h *Hands) drop(swaps int, streams bool) (done bool, err error) {
	h.aside.Lock()
	defer h.aside.Unlock()
	if streams && swaps != h.swaps {
		return false, nil
	}
	h.dropping = false
	if job, err := h.Rebuilds.Get(""); !streams || err == nil && job.Request.KeepOld {
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
	if err := h.Postgres.SaveOwn(h.OwnDir()); err != nil {
		h.Log.Warn("this server's own files were not saved for a later rebuild", "error", err)
	}
}
