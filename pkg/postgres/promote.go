package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"mcctl/pkg/durable"
)

// AskPromotion asks a standby to become primary, as pg_ctl promote does: the file
// "promote" and SIGUSR1 to the postmaster (src/bin/pg_ctl/pg_ctl.c, 13 to 18). No
// SQL is needed, so it works while no connection can be had. It returns at once;
// ask again every 10 ms until the server is out of recovery, because a single
// request may be noticed only after wal_retrieve_retry_interval. Asking a primary
// is harmless: the next start removes the file.
func (in *Instance) AskPromotion(pid int) error {
	if !in.owns(pid) {
		return fmt.Errorf("promote PostgreSQL: process %d is not its postmaster", pid)
	}
	// Not durable: the request concerns this run of the server only.
	if err := os.WriteFile(filepath.Join(in.Data, "promote"), nil, 0o600); err != nil {
		return fmt.Errorf("promote PostgreSQL: %w", err)
	}
	if err := in.signal(pid, syscall.SIGUSR1); err != nil {
		return fmt.Errorf("promote PostgreSQL: %w", err)
	}
	return nil
}

// MarkStandby makes the next start a standby: the file standby.signal, durably.
func (in *Instance) MarkStandby() error {
	return markStandby(in.Data)
}

// markStandby takes away recovery.signal, which tools that restore a backup leave: beside
// standby.signal it means nothing, but promotion removes only the latter, and a primary
// that starts with it recovers from the archive and begins a new timeline, or does not
// start at all (readRecoverySignalFile and CleanupAfterArchiveRecovery, 13 to 18).
func markStandby(data string) error {
	if err := durable.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o600); err != nil {
		return err
	}
	return durable.Remove(filepath.Join(data, "recovery.signal"))
}

// MarkedStandby tells whether the next start would be a standby.
func (in *Instance) MarkedStandby() bool {
	_, err := os.Lstat(in.standbySignal())
	return err == nil
}

// ClearStandby makes the next start a primary. Promotion removes the file by itself.
func (in *Instance) ClearStandby() error {
	return durable.Remove(in.standbySignal())
}

func (in *Instance) standbySignal() string { return filepath.Join(in.Data, "standby.signal") }
