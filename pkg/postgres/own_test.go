package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ofBoth gives both servers what pg_rewind's reference page warns of, a file that cannot be
// written, and the source one of its own in a directory that both have.
func ofBoth(t *testing.T, old, leader *Instance) {
	t.Helper()
	write(t, filepath.Join(leader.Data, "server.key"), "the leader's secret\n")
	for _, in := range []*Instance{old, leader} {
		ok(t, os.Chmod(filepath.Join(in.Data, "server.key"), 0o400))
	}
	ok(t, os.Mkdir(filepath.Join(leader.Data, "conf.d"), 0o700))
	write(t, filepath.Join(leader.Data, "conf.d", "b.conf"), "# leader\n")
}

// hasOwn: of all that the two have, this server has what was its own.
func hasOwn(t *testing.T, in *Instance) {
	t.Helper()
	key := filepath.Join(in.Data, "server.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o400 || read(t, key) != "secret\n" {
		t.Errorf("the key is not our own, with its mode: %v", err)
	}
	if exists(filepath.Join(in.Data, "conf.d", "b.conf")) || read(t, filepath.Join(in.Data, "conf.d", "a.conf")) != "# old\n" {
		t.Error("conf.d is not our own")
	}
}

func TestRewindOverReadOnlyFilesBringsBackOurOwnOnly(t *testing.T) {
	old, leader := diverged(t)
	ofBoth(t, old, leader)
	ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: filepath.Join(old.Socket, "keep")}))
	hasOwn(t, old)
}

func TestACopyInPlaceBringsBackOurOwnOnly(t *testing.T) {
	old, leader := diverged(t)
	ofBoth(t, old, leader)
	ok(t, old.BaseBackupInPlace(within(t), sourceOf(leader, "b"), filepath.Join(old.Socket, "keep"), BackupOptions{}))
	hasOwn(t, old)
}

// What is not our own and cannot be written, or removed, is found before anything is.
func TestRewindOfWhatCannotBeWrittenIsRefusedWhileTheDataIsWhole(t *testing.T) {
	for _, name := range []string{"log/old.log.gz", "conf.d/a.conf"} {
		old, leader := diverged(t)
		keep, path := filepath.Join(old.Socket, "keep"), filepath.Join(old.Data, name)
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
		write(t, path, "")
		ok(t, os.Chmod(path, 0o400))
		ok(t, os.Chmod(filepath.Dir(path), 0o500))
		err := old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep})
		ok(t, os.Chmod(filepath.Dir(path), 0o700))
		if err == nil || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), filepath.Dir(path)) {
			t.Errorf("%s: %v", name, err)
		}
		if !exists(path) || exists(keep) {
			t.Errorf("%s: it was begun", name)
		}
		ok(t, os.Chmod(path, 0o600))
		ok(t, old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep}))
	}
}

// A supervisor that died between keeping our files and the end of pg_rewind.
func TestOwnFilesThatWereTakenAwayComeBack(t *testing.T) {
	in := newServer(t)
	own, keep := read(t, filepath.Join(in.Data, "postgresql.conf")), filepath.Join(in.Socket, "keep")
	ok(t, in.keep(keep))
	ok(t, in.clearOwn(keep))
	if exists(filepath.Join(in.Data, "postgresql.conf")) || !exists(filepath.Join(in.Data, "PG_VERSION")) {
		t.Error("not what is our own was taken away")
	}
	ok(t, os.Mkdir(filepath.Join(in.Data, "pg_hba.conf"), 0o700)) // whatever the source has
	if err := in.RestoreKept(keep); !errors.Is(err, ErrUnfinished) {
		t.Errorf("half rewound: %v", err)
	}
	if read(t, filepath.Join(in.Data, "postgresql.conf")) != own || read(t, filepath.Join(in.Data, "pg_hba.conf")) == "" {
		t.Error("our own did not come back")
	}
}
