package postgres

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Promote goes by pg_control alone: what it says must be true for sessions at once.
func TestFactInProductionIsOpen(t *testing.T) {
	primary, standby := newPair(t)
	pid, _ := primary.Postmaster()
	ok(t, primary.Kill(pid))
	watch := connect(t, standby)
	set(t, standby, "synchronous_standby_names = ''")
	pid, _ = standby.Postmaster()
	if c, err := standby.Control(); err != nil || c.State != InArchiveRecovery {
		t.Fatalf("pg_control of a standby says %s, %v", c.State, err)
	}
	received, replayed, err := watch.Applied(within(t))
	if err != nil || received == 0 || replayed == 0 {
		t.Errorf("the standby has %s and applied %s, %v", received, replayed, err)
	}
	end := time.Now().Add(limit)
	for asked := (time.Time{}); ; time.Sleep(200 * time.Microsecond) {
		if time.Since(asked) > 10*time.Millisecond {
			ok(t, standby.AskPromotion(pid))
			asked = time.Now()
		}
		if c, err := standby.Control(); err == nil && c.State == InProduction {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it never said so")
		}
	}
	if recovering, err := watch.InRecovery(within(t)); err != nil || recovering {
		t.Errorf("in recovery %t, %v, although pg_control says in production", recovering, err)
	}
	execute(t, standby, "insert into t values (1)")
	if received, replayed, err := watch.Applied(within(t)); err != nil || received != 0 || replayed != 0 {
		t.Errorf("a primary has received %s and applied %s, %v", received, replayed, err)
	}
}

// Promotion waits for restore_command, and takes away standby.signal alone
// (StartupXLOG, readRecoverySignalFile and findNewestTimeLine, 13 to 18).
func TestFactPromotionAsksTheArchiveAndLeavesRecoverySignal(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	standby := newStandby(t, primary)
	asked := filepath.Join(standby.Socket, "asked")
	configure(t, standby, "restore_command = 'echo %f >>"+asked+"; false'")
	left := filepath.Join(standby.Data, "recovery.signal")
	write(t, left, "")
	start(t, standby)
	eventually(t, "it streams", func() bool {
		return query(t, standby, "select coalesce(max(status), '') from pg_stat_wal_receiver") == "streaming"
	})
	before := len(read(t, asked))
	promote(t, standby)
	if got := read(t, asked)[before:]; !strings.Contains(got, "00000002.history") {
		t.Errorf("at its promotion it asked for %q", got)
	}
	if !exists(left) {
		t.Error("recovery.signal has gone: MarkStandby need not remove it")
	}
	pid, _ := standby.Postmaster()
	ok(t, standby.Stop(within(t), pid, Fast))
	ok(t, standby.MarkStandby())
	if exists(left) {
		t.Error("it is still there, for the time after the next promotion")
	}
}
