package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/hook"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// copyTries bounds how often a copy is begun again by itself, while the primary is
// reached: a connection may break once in some hours, but not every time.
const copyTries = 3

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
	inPlace, err := h.mayCopy(ctx, w, at, q)
	if err != nil {
		return err
	}
	cost := w.name == wire.WayCommand
	for try, note := 1, ""; ; try++ {
		h.Rebuilds.NewTry(note)
		options, err := h.copyOptions(w, at, q) // who may write the site's program is asked each time
		if err == nil {
			err = postgres.EndCopiers(h.copyLock())
		}
		if err != nil {
			return err
		}
		err = h.copyOnce(ctx, w, options, inPlace)
		if err == nil && !inPlace {
			err = h.takeCopy(ctx, at.broken, q.KeepOld)
			return inVain(ctx, err, true)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		cost = cost || h.Rebuilds.Begun()
		if _, gone := h.history(ctx); gone != nil {
			return err
		}
		if try == copyTries || errors.Is(err, syscall.ENOSPC) || fullDisk(err) {
			return inVain(ctx, err, cost)
		}
		h.Log.Warn("the copy failed and is begun again", "error", err)
		note = "begun again after: " + firstLine(err)
		at.broken = at.broken || inPlace
		if err := h.pause(ctx, time.Duration(try)*time.Second); err != nil {
			return err
		}
	}
}

// mayCopy finds out, before anything is stopped or changed, what is in the way of a copy,
// and whether it is to be made in place.
func (h *Hands) mayCopy(ctx context.Context, w way, at standing, q wire.RebuildRequest) (inPlace bool, err error) {
	if w.name == wire.WayCommand {
		if _, err := h.copyCommand(); err != nil {
			return false, err
		}
	}
	if inPlace, err = h.inPlace(ctx, at, q); err != nil {
		return inPlace, err
	}
	return inPlace, h.roomFor(ctx, inPlace)
}

// ErrInVain marks the failure of a way back that has cost something, although the primary
// is reached: hours of its disks perhaps, or of a repository that is paid for, or the
// connections of those who read here. Nobody should begin the next one at once.
var ErrInVain = errors.New("in vain")

func inVain(ctx context.Context, err error, cost bool) error {
	cutOff := ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrStranded)
	if err == nil || !cost || cutOff {
		return err
	}
	return fmt.Errorf("copied %w: %w", ErrInVain, err)
}

// ErrStranded is why the start in which a way back ends is left off: PostgreSQL would wait
// for ever.
var ErrStranded = errors.New("PostgreSQL waits for log that nobody has any more")

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

func (h *Hands) copyOnce(ctx context.Context, w way, options postgres.BackupOptions, inPlace bool) error {
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
	return nil
}

// takeCopy has the copy, which is whole, take the place of the data. When that fails no
// other copy would do better: what was begun here is finished first.
func (h *Hands) takeCopy(ctx context.Context, half, keep bool) error {
	if err := h.mayReplace(ctx); err != nil {
		return errors.Join(err, h.Postgres.DropCopy())
	}
	if err := h.Rebuilds.Commit(wire.RebuildSwapping); errors.Is(err, errGivenUp) {
		return errors.Join(err, h.Postgres.DropCopy())
	} else if err != nil { // it may be on the disk, and without a copy that means a swap which has ended
		return err
	}
	if err := h.swap(half, keep); err != nil {
		return fmt.Errorf("put the copy in its place: %w", err)
	}
	return nil
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
		Program: program, SystemID: at.history.SystemID, Lock: h.copyLock(),
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

// copyLock is held by all that the site's program has begun.
func (h *Hands) copyLock() string { return h.Config.Path("run", "rebuild-command.lock") }
