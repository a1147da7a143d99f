package postgres

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// shutPoll is how often pg_control is read while a server shuts down.
const shutPoll = time.Millisecond

// Shut asks the postmaster for a fast shutdown and returns once nothing can be
// written any more: when pg_control says that it was shut down, or the postmaster
// has exited (then read Control for how). All sessions have ended before the
// shutdown checkpoint, and its record is the last one (xlog.c, ShutdownXLOG and
// CreateCheckPoint, 13 to 18); what is left are the walsenders, which send it to the
// standbys, and the postmaster's own end. Whoever needs that calls Stop as well.
// A postmaster that does not get so far before ctx ends is an error. One that is
// only starting is waited for to its exit: pg_control still tells of the run before.
func (in *Instance) Shut(ctx context.Context, pid int) error {
	exited, forget, err := WatchExit(pid)
	if err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	defer forget()
	before, err := in.Control()
	starting := err != nil || before.State.CleanPrimary()
	if err := in.signal(pid, syscall.Signal(Fast)); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	tick := time.NewTicker(shutPoll)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("stop PostgreSQL: postmaster %d has not exited: %w", pid, context.Cause(ctx))
		case <-tick.C:
		}
		if starting {
			continue
		}
		if c, err := in.Control(); err == nil && c.State.CleanPrimary() {
			return nil
		}
	}
}
