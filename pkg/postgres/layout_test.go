package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// PostgreSQL only warns of a tablespace in the data directory. There it would count as one
// of this server's own files, and old blocks would be put over those of the new primary.
func TestRewindOrCopyOfATablespaceInsideTheDataDirectoryIsRefused(t *testing.T) {
	old, leader := newServer(t), newInstance(t)
	start(t, old)
	inner := filepath.Join(old.Data, "ts")
	ok(t, os.Mkdir(inner, 0o700))
	execute(t, old, "create tablespace ts location '"+inner+"'")
	execute(t, old, "create table t(n int) tablespace ts")
	oid := query(t, old, "select oid from pg_tablespace where spcname = 'ts'")
	known := Layout{Tablespaces: map[string]string{oid: filepath.Join(leader.Socket, "ts")}}
	ok(t, leader.BaseBackup(within(t), sourceOf(old, "s"), BackupOptions{Known: known}))
	ok(t, leader.Swap(false))
	configure(t, leader, "primary_conninfo = '"+sourceOf(old, "s").Conninfo()+"'")
	ok(t, leader.MarkStandby())
	start(t, leader)
	partWays(t, old, leader)
	saved, keep := filepath.Join(old.Socket, "own"), filepath.Join(old.Socket, "keep")
	saveOwn(t, old, saved)
	if exists(filepath.Join(saved, "ts")) {
		t.Error("a whole tablespace was saved with the configuration")
	}
	source := sourceOf(leader, "r")
	for what, try := range map[string]func() error{
		"a rewind":        func() error { return old.Rewind(within(t), source, RewindOptions{KeepDir: keep}) },
		"a copy":          func() error { return old.BaseBackup(within(t), source, BackupOptions{}) },
		"a copy in place": func() error { return old.BaseBackupInPlace(within(t), source, keep, BackupOptions{}) },
		"a plan":          func() error { return old.CanCopyBeside(within(t), source, Layout{}) },
	} {
		err := try()
		if err == nil || errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), inner) || !strings.Contains(err.Error(), "pg_tblspc/"+oid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What the error says to do.
	outside := filepath.Join(old.Socket, "moved")
	ok(t, os.Rename(inner, outside))
	link := filepath.Join(old.Data, "pg_tblspc", oid)
	ok(t, errors.Join(os.Remove(link), os.Symlink(outside, link)))
	configure(t, old, "primary_conninfo = '"+sourceOf(leader, "o").Conninfo()+"'")
	ok(t, old.Rewind(within(t), source, RewindOptions{KeepDir: keep}))
	ok(t, old.MarkStandby())
	start(t, old)
	eventually(t, "it follows", func() bool { return query(t, old, "select coalesce(sum(n), 0) from t") == "7" })
}

// The name of a tablespace's directory may be a link, to a disk for instance: its copy must
// lie beside the directory itself, where the swap looks for it.
func TestACopyToADirectoryThatIsALinkIsMovedIn(t *testing.T) {
	primary, _, _, _ := spaced(t)
	in := newServer(t)
	configure(t, in, "allow_in_place_tablespaces = on")
	wal, space, name := moveWAL(t, in), filepath.Join(in.Socket, "space"), filepath.Join(in.Socket, "name")
	ok(t, os.Symlink(space, name))
	oid := query(t, primary, "select oid from pg_tablespace where spcname = 'space'")
	opt := BackupOptions{Known: Layout{Tablespaces: map[string]string{oid: name}}}
	if err := in.BaseBackup(within(t), sourceOf(primary, "b"), opt); err == nil || !strings.Contains(err.Error(), name+" is a symbolic link that leads nowhere") {
		t.Errorf("a disk that is not mounted: %v", err)
	}
	ok(t, os.Mkdir(space, 0o700))
	ok(t, in.BaseBackup(within(t), sourceOf(primary, "b"), opt))
	ok(t, in.Swap(false))
	follows(t, in, primary, space, wal)
}

func TestPlacesThatLieInEachOtherAreRefused(t *testing.T) {
	dir := newDir(t)
	in := &Instance{Data: filepath.Join(dir, "d")}
	for where, apart := range map[string]bool{"d": false, "d/x/y": false, ".": false, "w": false, "w/x": false, "dd": true, "x": true} {
		err := in.Apart(Layout{WAL: filepath.Join(dir, "w"), Tablespaces: map[string]string{"1": filepath.Join(dir, where)}})
		if (err == nil) != apart {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// By that a place that was moved is told from one whose copy is gone.
func TestACopyOfAnEmptyTablespaceIsNotEmpty(t *testing.T) {
	primary, in := newServer(t), newServer(t)
	start(t, primary)
	theirs, ours := filepath.Join(primary.Socket, "space"), filepath.Join(in.Socket, "space")
	ok(t, os.Mkdir(theirs, 0o700))
	execute(t, primary, "create tablespace space location '"+theirs+"'")
	oid := query(t, primary, "select oid from pg_tablespace where spcname = 'space'")
	ok(t, in.BaseBackup(within(t), sourceOf(primary, "b"), BackupOptions{Known: Layout{Tablespaces: map[string]string{oid: ours}}}))
	ok(t, in.Swap(false))
	if !isFilled(ours) {
		t.Error("there is nothing in it")
	}
}
