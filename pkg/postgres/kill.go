package postgres

import (
	"errors"
	"fmt"
	"syscall"
)

// Kill ends the postmaster and all its children with SIGKILL, also those that
// are stopped (SIGSTOP) or have lost their postmaster meanwhile. The postmaster
// goes first, else it would take a killed child for a crash and begin to recover.
// It does not wait: a process in a hung disk operation dies when the disk answers.
func (in *Instance) Kill(pid int) error {
	if !in.owns(pid) {
		return in.KillLeftovers()
	}
	children := in.childrenOf(pid)
	err := in.signal(pid, syscall.SIGKILL)
	for _, c := range children {
		err = errors.Join(err, in.signal(c, syscall.SIGKILL))
	}
	for _, c := range in.childrenOf(pid) { // forked while we were listing
		err = errors.Join(err, in.signal(c, syscall.SIGKILL))
	}
	if err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	return nil
}

// KillLeftovers ends the processes that outlived their postmaster and so keep the
// next start from happening (ErrStillInUse). Nothing happens while a postmaster runs.
func (in *Instance) KillLeftovers() error {
	if _, running := in.Postmaster(); running {
		return nil
	}
	in.mu.Lock()
	_, starting := in.runningChild()
	in.mu.Unlock()
	if starting {
		return nil
	}
	var err error
	for _, pid := range processes(in.owns) {
		err = errors.Join(err, in.signal(pid, syscall.SIGKILL))
	}
	if err != nil {
		return fmt.Errorf("kill leftover processes: %w", err)
	}
	return nil
}

// childrenOf goes by the parent: every backend leads a session of its own, so
// there is no group to signal.
func (in *Instance) childrenOf(pid int) []int {
	return processes(func(p int) bool {
		st, ok := readStat(p)
		return ok && st.parent == pid && in.owns(p)
	})
}
