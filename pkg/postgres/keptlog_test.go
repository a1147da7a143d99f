package postgres

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/pair"
)

// sparing is a pair that keeps no log but what somebody asked for, whose standby goes by a
// slot. Its primary is in the middle of a checkpoint, and has written several segments
// since the one before, which took several as well: as it is under load.
func sparing(t *testing.T) (primary, standby *Instance) {
	t.Helper()
	primary, standby = newPair(t)
	ok(t, connect(t, primary).EnsureSlot(within(t), "s"))
	set(t, primary, "wal_keep_size = 0", "min_wal_size = 2MB", "max_wal_size = 12MB", "log_checkpoints = on", "synchronous_standby_names = ''")
	set(t, standby, "wal_keep_size = 0", "min_wal_size = 2MB", "max_wal_size = 12MB", "primary_slot_name = 's'")
	eventually(t, "the standby goes by its slot", func() bool {
		return query(t, primary, "select active from pg_replication_slots where slot_name = 's'") == "true"
	})
	execute(t, primary, "create table wide as select n, repeat('x', 1000) from generate_series(1, 400) n")
	eventually(t, "a checkpoint has begun some segments after the last, which took some", func() bool {
		execute(t, primary, "update wide set n = n + 1")
		c, err := primary.Control()
		ok(t, err)
		return c.Checkpoint-c.Redo >= 2<<20 && insertedAt(t, primary)-c.Checkpoint >= 2<<20 && inCheckpoint(t, primary)
	})
	set(t, primary, "wal_keep_size = 0", "max_wal_size = 1GB") // now it has time
	ends(t, primary, 2)
	caughtUp(t, primary, standby)
	return primary, standby
}

func insertedAt(t *testing.T, in *Instance) pair.LSN {
	t.Helper()
	at, err := pair.ParseLSN(query(t, in, "pg_current_wal_insert_lsn()"))
	ok(t, err)
	return at
}

func inCheckpoint(t *testing.T, in *Instance) bool {
	t.Helper()
	log := read(t, in.LogFile)
	return strings.Count(log, "checkpoint starting") > strings.Count(log, "checkpoint complete")
}

// ends writes so many segments.
func ends(t *testing.T, in *Instance, segments int) {
	t.Helper()
	for range segments {
		execute(t, in, "insert into t values (0)")
		query(t, in, "select pg_switch_wal()::text")
	}
}

func caughtUp(t *testing.T, primary, standby *Instance) {
	t.Helper()
	at := query(t, primary, "select pg_current_wal_flush_lsn()")
	eventually(t, "the standby has replayed what there is", func() bool {
		return query(t, standby, "select pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn") == "true"
	})
}

func crash(t *testing.T, in *Instance) {
	t.Helper()
	pid, _ := in.Postmaster()
	ok(t, in.Kill(pid))
	ok(t, in.waitExit(within(t), pid))
	ok(t, in.KillLeftovers())
	eventually(t, "its processes have ended", func() bool { return len(processes(in.owns)) == 0 })
}

// takesOver promotes the standby and has it remove all log that nobody has reserved.
func takesOver(t *testing.T, standby *Instance) {
	t.Helper()
	promote(t, standby)
	s := connect(t, standby)
	ok(t, s.Checkpoint(within(t)))
	ok(t, s.EnsureSlot(within(t), "other"))
	ends(t, standby, 2)
	ok(t, s.Checkpoint(within(t)))
}

// cutOff has the primary write what its standby does not get.
func cutOff(t *testing.T, primary, standby *Instance) {
	t.Helper()
	pid, _ := standby.Postmaster()
	ok(t, standby.Stop(within(t), pid, Immediate))
	ends(t, primary, 2)
}

func comesBack(t *testing.T, old, leader *Instance) {
	t.Helper()
	ok(t, old.Rewind(within(t), sourceOf(leader, "rewind"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'", "primary_slot_name = 'other'")
	ok(t, old.MarkStandby())
	oldest, err := connect(t, leader).OldestWAL(within(t))
	ok(t, err)
	if at, err := old.Lacks(); err != nil || at < oldest {
		t.Errorf("it lacks the log from %s on, and the oldest there is %s: %v", at, oldest, err)
	}
	start(t, old)
	caughtUp(t, leader, old)
	eventually(t, "it is known to be whole", func() bool { at, err := old.Lacks(); return at == 0 && err == nil })
}

// hasLog tells whether the log at a position is there.
func hasLog(t *testing.T, in *Instance, at pair.LSN) bool {
	t.Helper()
	all, err := in.segments()
	ok(t, err)
	return slices.ContainsFunc(all, func(s Segment) bool { return s.Begin <= at && at < s.End })
}

// A physical slot may be made on a standby, and reserves from the last restartpoint's redo
// (ReplicationSlotReserveWal in slot.c, CreateRestartPoint in xlog.c, 13 to 18), which is
// none that its primary had not made before: so it holds what the old primary goes by. The
// checkpoint at the end of the promotion moves that redo to behind the fork as soon as it
// begins.
func TestFactASlotMadeInRecoveryReachesBackBehindTheFork(t *testing.T) {
	old, leader := sparing(t)
	ok(t, connect(t, leader).EnsureSlot(within(t), "early"))
	crash(t, old)
	c, err := old.Control()
	ok(t, err)
	takesOver(t, leader) // which makes a slot after its checkpoint
	reaches := func(slot string) bool {
		return query(t, leader, "select restart_lsn <= '"+c.Redo.String()+"'::pg_lsn from pg_replication_slots where slot_name = '"+slot+"'") == "true"
	}
	if !reaches("early") || !hasLog(t, leader, c.Redo) {
		t.Errorf("the slot made in recovery does not hold the log from %s on", c.Redo)
	}
	if reaches("other") {
		t.Error("a slot made after the checkpoint holds that log too: it need not be made earlier")
	}
}

func TestRewindFindsTheLogThatTheNewPrimaryKeptForIt(t *testing.T) {
	old, leader := sparing(t)
	ok(t, connect(t, leader).EnsureSlot(within(t), "other")) // while it is in recovery
	crash(t, old)
	takesOver(t, leader)
	comesBack(t, old, leader)
}

// A slot made too late, or lost since: nobody has the log that the old primary starts from.
// PostgreSQL asks for it for ever and lets nobody in; its files say what it lacks.
func TestRewindThatNobodyHasTheLogForLacksIt(t *testing.T) {
	old, leader := sparing(t)
	crash(t, old)
	takesOver(t, leader) // which makes the slot after its checkpoint
	ok(t, old.Rewind(within(t), sourceOf(leader, "rewind"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'", "primary_slot_name = 'other'")
	ok(t, old.MarkStandby())
	lacks := func() bool {
		at, err := old.Lacks()
		ok(t, err)
		oldest, err := connect(t, leader).OldestWAL(within(t))
		ok(t, err)
		return at != 0 && at < oldest
	}
	if !lacks() {
		t.Error("before its start it is not seen to lack log")
	}
	_, err := old.Start(StartOptions{})
	ok(t, err)
	eventually(t, "it asks for what nobody has", func() bool { return strings.Contains(read(t, old.LogFile), "has already been removed") })
	if !lacks() {
		t.Error("in its start it is not seen to lack log")
	}
}

// pg_rewind reads the target's log back to the last checkpoint before the fork. A fast stop
// removes it, since what the standby has received is held for nobody (KeepLogSeg in xlog.c,
// 13 to 18); one without a checkpoint leaves it, and so does recoverAlone.
func TestFactAFastStopRemovesTheLogThatARewindReads(t *testing.T) {
	for mode, want := range map[StopMode]bool{Fast: false, Immediate: true} {
		old, standby := sparing(t)
		c, err := old.Control()
		ok(t, err)
		cutOff(t, old, standby)
		pid, _ := old.Postmaster()
		ok(t, old.Stop(within(t), pid, mode))
		eventually(t, "its processes have ended", func() bool { return len(processes(old.owns)) == 0 })
		ok(t, old.recoverAlone(within(t)))
		if got := hasLog(t, old, c.Checkpoint); got != want {
			t.Errorf("stopped by %v it has the log of its last checkpoint %v, want %v", syscall.Signal(mode), got, want)
		}
	}
}

// Its checkpoint has noted how far the standby was, and did not come to its end.
func TestRewindOfAPrimaryThatCrashedInACheckpoint(t *testing.T) {
	old, leader := sparing(t)
	ok(t, connect(t, leader).EnsureSlot(within(t), "other"))
	cutOff(t, old, leader)
	crash(t, old)
	start(t, leader)
	takesOver(t, leader)
	comesBack(t, old, leader)
}
