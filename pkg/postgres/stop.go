package postgres

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// StopMode is how a postmaster is asked to stop ("Shutting Down the Server" in
// the PostgreSQL manual, same in 13 to 18).
type StopMode syscall.Signal

const (
	// Fast ends sessions, writes a shutdown checkpoint and waits until every
	// connected standby has received it.
	Fast = StopMode(syscall.SIGINT)
	// Immediate leaves without a checkpoint; the next start recovers from the WAL.
	Immediate = StopMode(syscall.SIGQUIT)
)

// Stop asks the postmaster to stop and waits for its exit. A pid that is not a
// postmaster of this data directory (any more) is fine. When ctx ends first the
// server may still be stopping; a second Stop, perhaps Immediate, may follow.
func (in *Instance) Stop(ctx context.Context, pid int, mode StopMode) error {
	if err := in.signal(pid, syscall.Signal(mode)); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	if err := in.waitExit(ctx, pid); err != nil {
		return fmt.Errorf("stop PostgreSQL: postmaster %d has not exited: %w", pid, err)
	}
	return nil
}

// Reload makes the postmaster read its configuration files again. It returns
// before anything is in force; a pid that is no postmaster of ours is an error.
func (in *Instance) Reload(pid int) error {
	if !in.owns(pid) {
		return fmt.Errorf("reload PostgreSQL: process %d is not its postmaster", pid)
	}
	if err := in.signal(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload PostgreSQL: %w", err)
	}
	return nil
}

func (in *Instance) waitExit(ctx context.Context, pid int) error {
	if !in.owns(pid) {
		return nil
	}
	exited, stop, err := WatchExit(pid)
	if err != nil {
		return err
	}
	defer stop()
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signal sends to the process only if it belongs to this data directory. The
// pidfd is opened before that is checked, so the signal cannot reach another
// process that got the pid in between. A process that is gone is no error.
func (in *Instance) signal(pid int, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if !in.owns(pid) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}
