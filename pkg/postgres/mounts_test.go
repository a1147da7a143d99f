package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mcctl/test/fault"
)

func TestMountPointsAreReadAsTheKernelWritesThem(t *testing.T) {
	const text = `22 28 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
36 35 98:0 /mnt1 /with\040blank\134040 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 98:0 / /tab\011line\012end rw - tmpfs a\040b rw
38 35 98:0 / /ü` + "\u00a0" + `/\999 rw - tmpfs none rw
broken line
`
	want := []string{"/", `/with blank\040`, "/tab\tline\nend", "/ü\u00a0/\\999"}
	if got := parseMounts(text); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// mount mounts a file system of its own, empty, until the test ends.
func mount(t *testing.T, dir string) {
	t.Helper()
	ok(t, os.MkdirAll(dir, 0o700))
	ok(t, unix.Mount("none", dir, "tmpfs", 0, "mode=0700,size=16m"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// bind does without a file system of its own, so that no device number tells of it.
func bind(t *testing.T, dir string) {
	t.Helper()
	ok(t, os.MkdirAll(dir, 0o700))
	ok(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// A copy beside would put the mount aside with the data and empty it there, one in place
// would empty it where it is; neither could remove it.
func TestACopyOfWhatHasAMountInsideIsRefused(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	primary, oid, space := aMountedSpace(t)
	in := newServer(t)
	wal := moveWAL(t, in)
	ok(t, os.Mkdir(space, 0o700))
	known := Layout{Tablespaces: map[string]string{oid: space}}
	source, keep := sourceOf(primary, "b"), filepath.Join(in.Socket, "keep")
	for point, told := range map[string]string{
		filepath.Join(in.Data, "log"):        "symbolic link",
		filepath.Join(in.Data, "conf d"):     "symbolic link",
		filepath.Join(in.Data, "base", "1"):  "unmount it",
		filepath.Join(wal, "archive_status"): "unmount it",
		filepath.Join(space, "PG_x", "0"):    "unmount it",
	} {
		bind(t, point)
		write(t, filepath.Join(point, "content"), "")
		for what, try := range map[string]func() error{
			"a copy":          func() error { return in.BaseBackup(within(t), source, BackupOptions{Known: known}) },
			"a copy in place": func() error { return in.BaseBackupInPlace(within(t), source, keep, BackupOptions{Known: known}) },
			"a plan":          func() error { return in.CanCopyBeside(within(t), source, known) },
		} {
			err := try()
			if err == nil || errors.Is(err, ErrUnfinished) || errors.Is(err, ErrNotBeside) || !strings.Contains(err.Error(), point+" is a mount point inside ") || !strings.Contains(err.Error(), told) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if !exists(filepath.Join(point, "content")) {
			t.Errorf("%s was emptied", point)
		}
		ok(t, errors.Join(unix.Unmount(point, 0), os.RemoveAll(filepath.Join(point, "content"))))
	}
	ok(t, os.RemoveAll(filepath.Join(space, "PG_x")))
	ok(t, in.CanCopyBeside(within(t), source, known))
}

// aMountedSpace is a running server with a tablespace, and a place for that elsewhere.
func aMountedSpace(t *testing.T) (primary *Instance, oid, place string) {
	t.Helper()
	primary = newServer(t)
	start(t, primary)
	theirs := filepath.Join(primary.Socket, "space")
	ok(t, os.Mkdir(theirs, 0o700))
	execute(t, primary, "create tablespace space location '"+theirs+"'")
	return primary, query(t, primary, "select oid from pg_tablespace where spcname = 'space'"), filepath.Join(newDir(t), "space")
}

// The directories themselves may be mount points: then they are emptied, and stay.
func TestACopyIntoMountPointsThemselvesIsMadeInPlace(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	primary, in := newServer(t), newServer(t)
	start(t, primary)
	wal := moveWAL(t, in)
	bind(t, in.Data)
	bind(t, wal)
	source := sourceOf(primary, "b")
	if err := in.CanCopyBeside(within(t), source, Layout{}); !errors.Is(err, ErrNotBeside) || !strings.Contains(err.Error(), "is a mount point") {
		t.Errorf("beside it: %v", err)
	}
	ok(t, in.BaseBackupInPlace(within(t), source, filepath.Join(in.Socket, "keep"), BackupOptions{}))
	if to, err := os.Readlink(filepath.Join(in.Data, "pg_wal")); err != nil || to != wal {
		t.Errorf("pg_wal leads to %q: %v", to, err)
	}
}

// pg_rewind removes a directory that its source lacks, but never pg_wal.
func TestRewindIsRefusedOnlyForMountsThatItWouldRemove(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	old, leader := diverged(t)
	own, wal := filepath.Join(old.Data, "conf.d"), filepath.Join(old.Data, "pg_wal")
	keep := filepath.Join(old.Socket, "keep")
	before := filepath.Join(old.Socket, "before")
	ok(t, os.Rename(wal, before))
	mount(t, wal)
	entries, err := os.ReadDir(before)
	ok(t, err)
	for _, e := range entries {
		ok(t, copyDurably(filepath.Join(before, e.Name()), filepath.Join(wal, e.Name())))
	}
	mount(t, own)
	write(t, filepath.Join(own, "a.conf"), "")
	rewind := func() error { return old.Rewind(within(t), sourceOf(leader, "r"), RewindOptions{KeepDir: keep}) }
	if err := rewind(); err == nil || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), own+" is a mount point") {
		t.Errorf("with %s: %v", own, err)
	}
	if !exists(filepath.Join(own, "a.conf")) || exists(keep) {
		t.Error("it was begun")
	}
	ok(t, unix.Unmount(own, 0))
	ok(t, rewind())
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "s").Conninfo()+"'")
	ok(t, old.MarkStandby())
	start(t, old)
}
