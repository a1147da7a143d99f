package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/postgres"
)

// reach is the other cluster, if it is connected to now as an open primary.
func (in instance) reach() (*cluster, error) {
	o := in.w.peer(in.cluster)
	me, there := in.host.name, o.host.name
	if in.w.cut(me, there) || in.w.cut(there, me) || o.host.off || o.host.asleep || o.pm == nil || !o.pm.ready || o.pm.stopping || o.pm.frozen {
		return nil, errors.New("the source is not reached")
	}
	return o, nil
}

// works takes time, and fails when the source goes away meanwhile.
func (in instance) works(ctx context.Context, d time.Duration, from *postmaster) error {
	for left := d; left > 0; left -= 100 * time.Millisecond {
		if err := in.pause(ctx, min(left, 100*time.Millisecond)); err != nil {
			return err
		}
		if o, err := in.reach(); err != nil || o.pm != from {
			return errors.New("the connection to the source broke")
		}
		if in.full() {
			return errors.New("no space left on device")
		}
	}
	return nil
}

// Rewind takes back what the source lacks. Cut off while it writes, it leaves data
// that nothing but a copy helps.
func (in instance) Rewind(ctx context.Context, _ postgres.Source, _ postgres.RewindOptions) error {
	o, err := in.reach()
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	from := o.pm
	switch {
	case in.pm != nil:
		return errors.New("rewind: the server is running; stop it first")
	case in.unfinished:
		return fmt.Errorf("rewind: %w", postgres.ErrUnfinished)
	case !in.w.bugs.anySource && (from.recovery || o.control.Timeline <= max(in.control.Timeline, in.control.MinRecoveryTimeline)):
		return fmt.Errorf("rewind: source on timeline %d: %w", o.control.Timeline, postgres.ErrSourceNotReady)
	}
	if err := in.works(ctx, in.w.mostly(200*time.Millisecond, 10*time.Second), from); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if in.control.State == postgres.InProduction { // it has recovered alone
		in.control.State = postgres.ShutDown
	}
	in.w.ledger.destroys(in.cluster, "rewind")
	in.unfinished = true
	if err := in.works(ctx, in.w.mostly(500*time.Millisecond, 10*time.Second), from); err != nil {
		return fmt.Errorf("rewind: %w: %w", err, postgres.ErrUnfinished)
	}
	in.become(o.log.clone())
	return nil
}

// become makes the data a copy of a primary as it was.
func (c *cluster) become(l *wal) {
	c.log, c.unfinished = l, false
	c.control.State, c.control.Checkpoint, c.control.Timeline = postgres.InArchiveRecovery, l.flushAt(), l.tl
	c.control.MinRecovery, c.control.MinRecoveryTimeline = l.flushAt(), l.tl
	c.marked = true
	c.replaced++
	c.w.ledger.changed(c)
}

func (in instance) RestoreKept(string) error {
	in.p.enter()
	if in.unfinished {
		return postgres.ErrUnfinished
	}
	return nil
}

func (in instance) DropKept(string) error { return in.onFiles(func() {}) }

// BaseBackup copies beside the old data. It would copy from a standby as well.
func (in instance) BaseBackup(ctx context.Context, _ postgres.Source, _ postgres.BackupOptions) error {
	o, err := in.reach()
	if err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	in.say("base backup begins")
	if err := in.works(ctx, in.w.mostly(4*time.Second, 60*time.Second), o.pm); err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	in.copied = o.log.clone()
	return nil
}

func (in instance) BaseBackupInPlace(context.Context, postgres.Source, string, postgres.BackupOptions) error {
	return errors.New("base backup in place is not modelled")
}

func (in instance) CanCopyBeside(context.Context, postgres.Source, postgres.Layout) error { return nil }

func (in instance) Rooms(context.Context, postgres.Source, postgres.Layout, postgres.Holdings, bool) ([]postgres.Room, error) {
	return nil, nil
}

func (in instance) HasCopy() bool { return in.copied != nil }

func (in instance) DropCopy() error { return in.onFiles(func() { in.copied = nil }) }

// BeginSwap does the whole swap in one step here; RecoverSwap ends it on a machine.
func (in instance) BeginSwap(_, _ bool) error {
	in.p.enter()
	if in.pm != nil || in.copied == nil {
		return errors.New("swap data directory: it cannot be done now")
	}
	in.w.ledger.destroys(in.cluster, "swap")
	in.old = true
	in.become(in.copied)
	in.copied = nil
	return nil
}

func (in instance) Swapping() bool { return false }

func (in instance) RecoverSwap() error { return nil }

func (in instance) DropOld() error { return in.onFiles(func() { in.old = false }) }

func (in instance) KeptOld() string {
	if in.old {
		return "old"
	}
	return ""
}

func (in instance) OldIsWanted() bool { return false }
