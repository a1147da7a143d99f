package postgres

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte(text), 0o600))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	return string(b)
}

// partWays is a failover: the old primary crashes with a commit that its standby never saw.
func partWays(t *testing.T, old, leader *Instance) {
	t.Helper()
	pid, _ := leader.Postmaster()
	ok(t, leader.Stop(within(t), pid, Fast))
	execute(t, old, "insert into t values (666)")
	pid, _ = old.Postmaster()
	ok(t, old.Kill(pid))
	ok(t, old.waitExit(within(t), pid))
	start(t, leader)
	promote(t, leader)
	execute(t, leader, "insert into t values (7)")
	ok(t, connect(t, leader).Checkpoint(within(t)))
}

// diverged is a pair after a failover, and both have their own files in the data
// directory.
func diverged(t *testing.T) (old, leader *Instance) {
	t.Helper()
	old, leader = newPair(t)
	set(t, old, "synchronous_standby_names = ''")
	partWays(t, old, leader)
	for name, text := range map[string]string{"own.conf": "# old\n", "server.key": "secret\n"} {
		write(t, filepath.Join(old.Data, name), text)
	}
	ok(t, os.MkdirAll(filepath.Join(old.Data, "conf.d"), 0o700))
	write(t, filepath.Join(old.Data, "conf.d", "a.conf"), "# old\n")
	ok(t, os.Symlink("own.conf", filepath.Join(old.Data, "link.conf")))
	write(t, filepath.Join(leader.Data, "own.conf"), "# leader\n")
	return old, leader
}

func TestRewind(t *testing.T) {
	old, leader := diverged(t)
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'")
	conf, key := filepath.Join(old.Data, "postgresql.conf"), filepath.Join(old.Data, "server.key")
	own, theirs := read(t, conf), read(t, filepath.Join(leader.Data, "postgresql.conf"))
	keep := filepath.Join(old.Socket, "keep")
	var lines []string
	look := func(line string) {
		lines = append(lines, line)
		// What pg_rewind does to our files, and why they are kept.
		if line == "pg_rewind: Done!" && (read(t, conf) != theirs || exists(key)) {
			t.Error("pg_rewind left the target's own files alone")
		}
	}
	ok(t, old.Rewind(within(t), sourceOf(leader, "rewind"), RewindOptions{KeepDir: keep, Progress: look}))
	if !strings.Contains(strings.Join(lines, "\n"), "Done!") {
		t.Errorf("progress: %q", lines)
	}
	if read(t, conf) != own {
		t.Error("postgresql.conf is not our own any more")
	}
	if got := read(t, filepath.Join(old.Data, "link.conf")) + read(t, filepath.Join(old.Data, "conf.d", "a.conf")) + read(t, key); got != "# old\n# old\nsecret\n" {
		t.Errorf("own files: %q", got)
	}
	if exists(keep) {
		t.Error("the kept files were not dropped")
	}
	ok(t, old.MarkStandby())
	start(t, old)
	eventually(t, "it follows", func() bool { return query(t, old, "select coalesce(sum(n), 0) from t") == "7" })
	ok(t, old.RestoreKept(keep))
}

func TestRewindWithConfigElsewhere(t *testing.T) {
	old, leader := diverged(t)
	old.ConfigFile = filepath.Join(old.Socket, "elsewhere.conf")
	ok(t, os.Rename(filepath.Join(old.Data, "postgresql.conf"), old.ConfigFile))
	own := read(t, old.ConfigFile)
	ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	if read(t, old.ConfigFile) != own {
		t.Error("the configuration was changed")
	}
}

func TestRewindCutOffIsNotStarted(t *testing.T) {
	old, leader := diverged(t)
	keep := filepath.Join(old.Socket, "keep")
	own := read(t, filepath.Join(old.Data, "postgresql.conf"))
	ctx, cancel := contextWith(limit)
	defer cancel()
	err := old.Rewind(ctx, sourceOf(leader, "r"), RewindOptions{KeepDir: keep, Progress: func(line string) {
		if strings.Contains(line, "need to copy") {
			cancel()
		}
	}})
	if !errors.Is(err, ErrUnfinished) || !errors.Is(err, context.Canceled) {
		t.Fatalf("a rewind cut off: %v", err)
	}
	if read(t, filepath.Join(old.Data, "postgresql.conf")) != own {
		t.Error("postgresql.conf is not our own any more")
	}
	if err := old.RestoreKept(keep); !errors.Is(err, ErrUnfinished) {
		t.Errorf("restored as if finished: %v", err)
	}
	if err := old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("rewound again: %v", err)
	}
	ok(t, old.BaseBackup(within(t), sourceOf(leader, "b"), BackupOptions{}))
	ok(t, old.Swap(false))
	ok(t, old.DropKept(keep))
	ok(t, old.RestoreKept(keep))
}

func TestRewindRefuses(t *testing.T) {
	old, leader := diverged(t)
	source := sourceOf(leader, "r")
	opt := RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}
	if err := leader.Rewind(within(t), source, opt); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("a running server: %v", err)
	}
	same := newServer(t)
	start(t, same)
	if err := old.Rewind(within(t), sourceOf(same, "r"), opt); !errors.Is(err, ErrSourceNotReady) {
		t.Errorf("a source on the same timeline: %v", err)
	}
	if err := sourceOf(leader, "r").leads(within(t), Control{SystemID: 1}); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("another cluster: %v", err)
	}
	if err := old.Rewind(within(t), source, RewindOptions{}); err == nil {
		t.Error("nowhere to keep the files, and went on")
	}
}

func TestBaseBackupAndSwap(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	execute(t, primary, "create table t(n int)")
	ok(t, connect(t, primary).EnsureSlot(within(t), "s"))
	standby := newServer(t)
	wal := moveWAL(t, standby)
	own := read(t, filepath.Join(standby.Data, "postgresql.conf"))

	for round := range 2 {
		var done, total int64
		ok(t, standby.BaseBackup(within(t), sourceOf(primary, "s"), BackupOptions{Slot: "s", Progress: func(d, n int64) { done, total = d, n }}))
		if total == 0 || done != total {
			t.Errorf("progress ended at %d of %d", done, total)
		}
		ok(t, standby.Swap(false))
		if round == 0 {
			if err := standby.Swap(false); err == nil {
				t.Error("swapped in a copy that is not there")
			}
		}
		ok(t, standby.DropOld())
		if target, err := os.Readlink(filepath.Join(standby.Data, "pg_wal")); err != nil || target != wal {
			t.Errorf("pg_wal leads to %s, %v; want %s", target, err, wal)
		}
		if got := read(t, filepath.Join(standby.Data, "postgresql.conf")); got != own {
			t.Error("postgresql.conf is not our own any more")
		}
	}
	if left, err := filepath.Glob(standby.Data + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if !exists(wal) || exists(wal+".new") || exists(wal+".old") {
		t.Error("the wrong WAL directory was dropped")
	}
	configure(t, standby, "primary_conninfo = '"+sourceOf(primary, "s").Conninfo()+"'", "primary_slot_name = 's'")
	ok(t, standby.MarkStandby())
	start(t, standby)
	ok(t, standby.ClearStandby())
	ok(t, standby.ClearStandby())
}

func TestRecoverSwapAfterEachStep(t *testing.T) {
	names := []string{"", ".new", ".old"}
	for start, want := range map[string]string{
		"present old":       "present",     // before the first rename with a leftover: nothing to do
		" new old":          "new",         // between the renames
		"present new":       "present new", // copy made, not swapped
		"":                  "",
		"present":           "present",
		" new":              " new", // a copy without a server: nobody has begun to swap
		"present new older": "present new older",
	} {
		in := &Instance{Data: filepath.Join(t.TempDir(), "d")}
		words := strings.Split(start, " ")
		if start == "present old" {
			words = []string{"present", "", "old"}
		}
		for i, w := range words {
			if w != "" {
				ok(t, os.Mkdir(in.Data+names[i], 0o700))
				write(t, filepath.Join(in.Data+names[i], "who"), w)
			}
		}
		ok(t, in.RecoverSwap())
		first, _, _ := strings.Cut(want, " ")
		if b, _ := os.ReadFile(filepath.Join(in.Data, "who")); string(b) != first {
			t.Errorf("from %q: the data directory is %q, want %q", start, b, first)
		}
	}
}

func TestBaseBackupInPlace(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	execute(t, primary, "create table t(n int)")
	in := newServer(t)
	wal := moveWAL(t, in)
	write(t, filepath.Join(in.Data, "base", "litter"), "x")
	own := read(t, filepath.Join(in.Data, "postgresql.conf"))
	keep := filepath.Join(in.Socket, "keep")
	before, err := os.Stat(in.Data)
	ok(t, err)

	nobody := sourceOf(primary, "b")
	nobody.Port = in.Port
	if err := in.BaseBackupInPlace(within(t), nobody, keep, BackupOptions{}); err == nil || errors.Is(err, ErrUnfinished) || !exists(filepath.Join(in.Data, "base")) {
		t.Errorf("a source that is not there: %v", err)
	}
	if err := in.RestoreKept(keep); err != nil {
		t.Errorf("data that nobody has touched is taken for half made: %v", err)
	}
	if err := in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, BackupOptions{Slot: "no_such"}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("a slot that is not there: %v", err)
	}
	ok(t, in.BaseBackupInPlace(within(t), sourceOf(primary, "b"), keep, BackupOptions{}))
	after, err := os.Stat(in.Data)
	ok(t, err)
	if !os.SameFile(before, after) || exists(keep) || exists(filepath.Join(in.Data, "base", "litter")) {
		t.Error("another directory, or not clean")
	}
	if target, err := os.Readlink(filepath.Join(in.Data, "pg_wal")); err != nil || target != wal {
		t.Errorf("pg_wal leads to %s, %v", target, err)
	}
	if read(t, filepath.Join(in.Data, "postgresql.conf")) != own {
		t.Error("postgresql.conf is not our own any more")
	}
	ok(t, in.MarkStandby())
	start(t, in)
}

// What is left of a copy that was killed does not keep the next one waiting.
func TestACopyEndsWhatIsLeftOfTheOneBefore(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	ok(t, connect(t, primary).EnsureSlot(within(t), "mine"))
	receiver := exec.Command(filepath.Join(bin(), "pg_receivewal"), "--no-loop", "-D", newDir(t), "-S", "mine", "-d", sourceOf(primary, "copy").Conninfo())
	ok(t, receiver.Start())
	eventually(t, "it receives from the slot", func() bool {
		return query(t, primary, "select active from pg_replication_slots") == "true"
	})
	ok(t, newInstance(t).BaseBackup(within(t), sourceOf(primary, "copy"), BackupOptions{Slot: "mine"}))
	if err := receiver.Wait(); err == nil {
		t.Error("it was not ended")
	}
}

// Somebody else who receives from the slot is waited for.
func TestACopyWaitsForItsSlot(t *testing.T) {
	primary := newServer(t)
	start(t, primary)
	ok(t, connect(t, primary).EnsureSlot(within(t), "mine"))
	in := newInstance(t)
	receiver := exec.Command(filepath.Join(bin(), "pg_receivewal"), "-D", newDir(t), "-S", "mine", "-d", sourceOf(primary, "r").Conninfo())
	ok(t, receiver.Start())
	eventually(t, "somebody receives from the slot", func() bool {
		return query(t, primary, "select active from pg_replication_slots") == "true"
	})
	gone := make(chan error, 1)
	go func() {
		time.Sleep(time.Second) // long enough for a copy that does not wait to have failed
		gone <- receiver.Process.Kill()
	}()
	ok(t, in.BaseBackup(within(t), sourceOf(primary, "copy"), BackupOptions{Slot: "mine"}))
	ok(t, <-gone)
	_ = receiver.Wait()
}
