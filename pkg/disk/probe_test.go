package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestElsewhereFollowsLinksOnly(t *testing.T) {
	data := t.TempDir()
	if dirs, err := elsewhere(data); err != nil || len(dirs) != 0 {
		t.Errorf("without anything: %q, %v", dirs, err)
	}
	ok(t, os.MkdirAll(filepath.Join(data, "pg_tblspc", "16384"), 0o700)) // one in place
	ok(t, os.Mkdir(filepath.Join(data, "pg_wal"), 0o700))
	for oid, to := range map[string]string{"16385": "/far/a", "16386": "/far/a/", "16387": "../../b", "16388": data} {
		ok(t, os.Symlink(to, filepath.Join(data, "pg_tblspc", oid)))
	}
	dirs, err := elsewhere(data)
	if want := []string{"/far/a", filepath.Join(filepath.Dir(data), "b")}; err != nil || !slices.Equal(dirs, want) {
		t.Errorf("the links lead to %q, %v; want %q", dirs, err, want)
	}
	ok(t, os.RemoveAll(filepath.Join(data, "pg_wal")))
	ok(t, os.Symlink("/far/wal", filepath.Join(data, "pg_wal")))
	if dirs, _ := elsewhere(data); len(dirs) == 0 || dirs[0] != "/far/wal" {
		t.Errorf("with pg_wal elsewhere: %q", dirs)
	}
}

func TestSpacesAreWherePostgreSQLWrites(t *testing.T) {
	data, space, log := t.TempDir(), t.TempDir(), t.TempDir()
	wal := filepath.Join(data, "pg_wal")
	ok(t, os.Mkdir(filepath.Join(data, "pg_tblspc"), 0o700))
	ok(t, os.Symlink(space, filepath.Join(data, "pg_tblspc", "16385")))
	ok(t, os.Symlink("/nowhere", filepath.Join(data, "pg_tblspc", "16386"))) // it is being dropped
	ok(t, os.Mkdir(wal, 0o700))
	look := func(want ...string) {
		t.Helper()
		spaces, err := Spaces(data)
		ok(t, err)
		var all []string
		for _, s := range spaces {
			all = append(all, s.Path)
			if tablespace := s.Path == space || s.Path == "/nowhere"; s.Log != (s.Path == want[1]) || s.Tablespace != tablespace || s.Known() != (s.Path != "/nowhere") {
				t.Errorf("%+v", s)
			}
		}
		if !slices.Equal(all, want) {
			t.Errorf("it writes in %q, want %q", all, want)
		}
	}
	look(data, wal, space, "/nowhere")
	ok(t, os.Remove(wal))
	ok(t, os.Symlink(log, wal))
	look(data, log, space, "/nowhere")
	ok(t, os.Remove(wal))
	ok(t, os.Symlink("/nowhere else", wal))
	if spaces, err := Spaces(data); err == nil || !strings.Contains(err.Error(), "the room of /nowhere else cannot be measured") {
		t.Errorf("without a log: %+v, %v", spaces, err)
	}
}

// What is no disk's fault is not blamed on one.
func TestBlameless(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.ENOSPC: true, syscall.EDQUOT: true, syscall.ENFILE: true, syscall.EMFILE: true, syscall.ENOMEM: true, syscall.ENOENT: true,
		syscall.EIO: false, syscall.EROFS: false, syscall.EACCES: false, syscall.ENOTCONN: false, syscall.ESTALE: false,
	} {
		if got := blameless(fmt.Errorf("write: %w", errno)); got != want {
			t.Errorf("%s: %v", errno, got)
		}
	}
	if blameless(nil) {
		t.Error("no error is blameless")
	}
	dir := t.TempDir()
	ok(t, os.Symlink("/dev/full", filepath.Join(dir, "full")))
	ok(t, writeAndSync(filepath.Join(dir, "full")))
	ok(t, writeAndSync(filepath.Join(dir, "nowhere", "f")))
	if err := writeAndSync(dir); err == nil {
		t.Error("a directory was written")
	}
}
