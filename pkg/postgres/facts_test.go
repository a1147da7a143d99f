package postgres

// What PostgreSQL does and the rest of the project leans on. Each test names
// where it is written, and fails when a version stops doing it.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Failover needs no lease because of this: the walreceiver is shut down before
// recovery ends (src/backend/access/transam/xlogrecovery.c ShutdownWalRcv,
// xlog.c StartupXLOG, 13 to 18), so what the old primary acknowledges
// while its standby is being promoted is on the new primary.
func TestFactAcknowledgedCommitsSurvivePromotion(t *testing.T) {
	primary, standby := newPair(t)
	for round := range 3 {
		acknowledged := writeWhile(t, primary, round, func() {
			time.Sleep(150 * time.Millisecond)
			promote(t, standby)
			time.Sleep(50 * time.Millisecond) // the old primary is still open
			pid, _ := primary.Postmaster()
			ok(t, primary.Kill(pid))
			ok(t, primary.waitExit(within(t), pid))
		})
		have := map[string]bool{}
		for _, n := range strings.Fields(query(t, standby, "select string_agg(n::text, ' ') from t")) {
			have[n] = true
		}
		for _, n := range acknowledged {
			if !have[fmt.Sprint(n)] {
				t.Errorf("round %d: acknowledged %d is lost", round, n)
			}
		}
		t.Logf("round %d: %d acknowledged", round, len(acknowledged))
		if len(acknowledged) == 0 {
			t.Error("nothing was acknowledged, nothing is proved")
		}
		primary, standby = turnRound(t, primary, standby)
	}
}

// writeWhile runs four paced writers until each has lost its connection.
func writeWhile(t *testing.T, in *Instance, round int, do func()) (acknowledged []int) {
	t.Helper()
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	ctx := within(t)
	for w := range 4 {
		conn := client(t, in)
		wg.Go(func() {
			for i := 0; ; i++ {
				key := 1000000*(round+1) + 100000*w + i
				if _, err := conn.Exec(ctx, "insert into t values ($1)", key); err != nil {
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, key)
				mu.Unlock()
				time.Sleep(3 * time.Millisecond)
			}
		})
	}
	do()
	wg.Wait()
	return acknowledged
}

// turnRound makes the old primary the synchronous standby of the new one.
func turnRound(t *testing.T, old, leader *Instance) (primary, standby *Instance) {
	t.Helper()
	ok(t, connect(t, leader).Checkpoint(within(t)))
	var err error
	eventually(t, "the killed postmaster's processes have ended", func() bool {
		err = old.Rewind(within(t), sourceOf(leader, "rewind"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")})
		return !errors.Is(err, ErrStillInUse)
	})
	if errors.Is(err, fs.ErrNotExist) { // no pg_rewind with this PostgreSQL
		ok(t, old.BaseBackup(within(t), sourceOf(leader, "copy"), BackupOptions{}))
		ok(t, old.DropOld())
		err = old.Swap(false)
	}
	ok(t, err)
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "s").Conninfo()+"'", "synchronous_standby_names = ''")
	ok(t, old.MarkStandby())
	start(t, old)
	set(t, leader, "synchronous_standby_names = 's'")
	eventually(t, "it is synchronous", func() bool {
		look, err := connect(t, leader).Look(within(t), "s")
		ok(t, err)
		return look.Peer != nil && look.Peer.SyncState == "sync"
	})
	return leader, old
}

// A standby whose primary has just died sleeps wal_retrieve_retry_interval and may
// notice a single request only then (WaitForWALToBecomeAvailable in
// xlogrecovery.c, 13 to 18). Asking again wakes it; on a primary it is harmless,
// since the postmaster removes the file when it starts (RemovePromoteSignalFiles).
func TestFactAskingForPromotionAgain(t *testing.T) {
	primary, standby := newPair(t)
	set(t, standby, "wal_retrieve_retry_interval = 60s")
	pid, _ := primary.Postmaster()
	ok(t, primary.Kill(pid))
	began := time.Now()
	promote(t, standby)
	t.Logf("promoted in %v", time.Since(began))

	pid, _ = standby.Postmaster()
	for range 3 {
		ok(t, standby.AskPromotion(pid))
	}
	if got := query(t, standby, "select timeline_id from pg_control_checkpoint()"); got != "1" && got != "2" {
		t.Errorf("timeline %s after asking a primary", got)
	}
	ok(t, standby.Stop(within(t), pid, Fast))
	ok(t, standby.MarkStandby())
	start(t, standby)
	if exists(filepath.Join(standby.Data, "promote")) || query(t, standby, "pg_is_in_recovery()") != "true" {
		t.Error("an old request outlived the restart")
	}
}

// Command-line settings win over the file ("Setting Parameters", 13 to 18), and
// without restart_after_crash the postmaster ends when a backend dies
// ("Error Handling").
func TestFactNoRestartAfterCrash(t *testing.T) {
	in := newServer(t)
	configure(t, in, "restart_after_crash = on")
	pid := startWith(t, in, StartOptions{Settings: map[string]string{"restart_after_crash": "off"}})
	exited, stop, err := WatchExit(pid)
	ok(t, err)
	defer stop()
	ok(t, syscall.Kill(int(client(t, in).PgConn().PID()), syscall.SIGKILL))
	wait(t, exited, "the postmaster has gone with its backend")
	start(t, in)
}

// A commit that waits for a standby returns when the names are emptied
// (SyncRepUpdateSyncStandbysDefined in src/backend/replication/syncrep.c, 13 to 18).
func TestFactEmptyingTheNamesReleasesCommits(t *testing.T) {
	primary, standby := newPair(t)
	pid, _ := standby.Postmaster()
	ok(t, standby.Kill(pid))
	ok(t, standby.waitExit(within(t), pid))
	conn, ctx := client(t, primary), within(t)
	committed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "insert into t values (1)")
		committed <- err
	}()
	watch := connect(t, primary)
	eventually(t, "the commit waits", func() bool {
		look, err := watch.Look(within(t), "s")
		ok(t, err)
		return look.SyncWaiters == 1
	})
	began := time.Now()
	set(t, primary, "synchronous_standby_names = ''")
	ok(t, <-committed)
	t.Logf("released in %v", time.Since(began))
}

// A new primary can reserve WAL for the old one at once: from the redo pointer of
// its last restartpoint or checkpoint (ReplicationSlotReserveWal in
// src/backend/replication/slot.c, 13 to 18).
func TestFactSlotRightAfterPromotion(t *testing.T) {
	_, standby := newPair(t)
	promote(t, standby)
	ok(t, connect(t, standby).EnsureSlot(within(t), "other"))
	got := query(t, standby, "select restart_lsn <= pg_current_wal_lsn() and wal_status = 'reserved' and restart_lsn <= (select redo_lsn from pg_control_checkpoint()) from pg_replication_slots")
	if got != "true" {
		t.Errorf("the slot does not hold WAL from the last redo: %s", got)
	}
}

// Backends of a killed postmaster leave by themselves (PostmasterIsAlive, 13 to
// 18), a start in the same place works, and it removes the dynamic shared
// memory that was left (dsm_cleanup_using_control_segment in dsm.c).
func TestFactRestartAfterKill(t *testing.T) {
	in := newServer(t)
	set(t, in, "dynamic_shared_memory_type = posix")
	pid := start(t, in)
	left := sharedMemory(t, pid)
	if len(left) == 0 {
		t.Fatal("found no shared memory of the postmaster in /dev/shm")
	}
	client(t, in)
	ok(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "its backends left", func() bool { return len(processes(in.owns)) == 0 })
	pid = start(t, in)
	left = append(left, sharedMemory(t, pid)...)
	ok(t, in.Stop(within(t), pid, Fast))
	for _, name := range left {
		if exists(name) {
			t.Errorf("%s is left", name)
		}
	}
}

// sharedMemory lists the files in /dev/shm that the process has mapped.
func sharedMemory(t *testing.T, pid int) (names []string) {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/maps", pid))) {
		if f := strings.Fields(line); len(f) == 6 && strings.HasPrefix(f[5], "/dev/shm/PostgreSQL.") {
			names = append(names, f[5])
		}
	}
	return names
}

// A backend that outlives its postmaster keeps the next one from starting
// (PGSharedMemoryIsInUse in src/backend/port/sysv_shmem.c, 13 to 18).
func TestFactOldBackendHoldsSharedMemory(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	backend := int(client(t, in).PgConn().PID())
	ok(t, syscall.Kill(backend, syscall.SIGSTOP))
	ok(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "only the frozen backend is left", func() bool { return len(processes(in.owns)) == 1 })
	if _, running := in.Postmaster(); running {
		t.Error("a backend is taken for the postmaster")
	}
	if _, err := in.Start(StartOptions{}); !errors.Is(err, ErrStillInUse) {
		t.Errorf("Start: %v", err)
	}
	var err error
	in.child, err = in.launch(StartOptions{}) // past the check, as in a race
	ok(t, err)
	if err := in.WaitReady(within(t)); !errors.Is(err, ErrStillInUse) {
		t.Errorf("WaitReady: %v", err)
	}
	ok(t, in.KillLeftovers())
	eventually(t, "the backend is gone", func() bool { return len(processes(in.owns)) == 0 })
	start(t, in)
}

// The I/O probe leaves a small file in pg_wal and in a tablespace's directory.
// PostgreSQL passes by names in pg_wal that are not of segments (xlog.c,
// RemoveOldXlogFiles), and in a tablespace's directory touches nothing but its own
// version's (tablespace.c, destroy_tablespace_directories), 13 to 18.
func TestFactAProbeFileDisturbsNeitherLogNorTablespaces(t *testing.T) {
	in := newServer(t)
	space := filepath.Join(in.Socket, "space")
	ok(t, os.Mkdir(space, 0o700))
	probes := []string{filepath.Join(space, ProbeFile), filepath.Join(in.Data, "pg_wal", ProbeFile)}
	for _, path := range probes {
		write(t, path, "tried")
	}
	pid := start(t, in)
	execute(t, in, "create tablespace space location '"+space+"'")
	execute(t, in, "create table far(n int) tablespace space")
	for range 3 {
		execute(t, in, "select pg_switch_wal()")
		execute(t, in, "checkpoint")
	}
	ok(t, in.Kill(pid))
	ok(t, in.waitExit(within(t), pid))
	start(t, in)
	execute(t, in, "drop table far")
	execute(t, in, "drop tablespace space")
	for _, path := range probes {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("PostgreSQL has taken the file away: %v", err)
		}
	}
	if entries, err := os.ReadDir(space); err != nil || len(entries) != 1 {
		t.Errorf("the dropped tablespace's directory holds %v, %v", entries, err)
	}
}

// Why an attach waits for what was flushed, not for where the next record begins: after
// the end of a segment or page the latter lies behind the next page's header
// (XLogBytePosToRecPtr, xlog.c, 13 to 18), and nothing takes the flush position there
// while nothing is written.
func TestFactInsertPositionMayBeAheadForLong(t *testing.T) {
	primary, _ := newPair(t)
	const ask = "select (pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn())::text"
	ahead, looks := "", 0
	for try := 0; try < 5 && looks < 20; try++ { // the background writer logs something now and then
		query(t, primary, "select pg_switch_wal()::text")
		for looks = 0; looks < 20; looks++ {
			if ahead = query(t, primary, ask); ahead != "40" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if looks < 20 {
		t.Errorf("after the end of a segment the insert position is %s bytes ahead, not 40 for long", ahead)
	}
}

// settings.CommitsWait goes by these names: synchronous_commit is a list that holds those of
// a boolean too (synchronous_commit_options), and PostgreSQL compares names without regard
// to case (config_enum_lookup_by_name, guc.c, 13 to 18).
func TestFactNamesOfSynchronousCommit(t *testing.T) {
	in := newServer(t)
	start(t, in)
	for said, means := range map[string]string{
		"on": "on", "ON": "on", "true": "on", "Yes": "on", "1": "on", "off": "off", "False": "off", "no": "off", "0": "off",
		"Local": "local", "REMOTE_WRITE": "remote_write", "Remote_Apply": "remote_apply",
	} {
		if got := query(t, in, "set_config('synchronous_commit', '"+said+"', false)"); got != means {
			t.Errorf("%s means %s, not %s", said, got, means)
		}
	}
}
