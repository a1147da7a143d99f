// Package conffiles is PostgreSQL's configuration files on disk: it reads the tree of
// them for package pgconf, notices when any of them has changed, and writes edits
// back. It knows neither which settings matter nor what they should be (package
// settings), and it asks no server what is in force (package postgres). Called by
// observe, act, check, setup and cli.
package conffiles

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"mcctl/pkg/pgconf"
	"mcctl/pkg/shell"
)

// Roots are the files where PostgreSQL begins to read: its config_file and the
// postgresql.auto.conf of its data directory.
func Roots(configFile, data string, major int) pgconf.Roots {
	return pgconf.Roots{Main: filepath.Clean(configFile), Auto: filepath.Join(data, "postgresql.auto.conf"), Major: major}
}

// Read reads all files, for an edit. The error is about the main file only; what is
// wrong elsewhere the tree tells (Problems).
func Read(roots pgconf.Roots) (*pgconf.Tree, error) {
	return read(disk{}, roots)
}

func read(d pgconf.Disk, roots pgconf.Roots) (*pgconf.Tree, error) {
	t := pgconf.Read(d, roots)
	if err := t.Err(); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return t, nil
}

// disk is the file system.
type disk struct{}

// ReadFile is os.ReadFile: its error tells opening from reading.
func (disk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (disk) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (disk) IsDir(path string) (bool, error) {
	info, err := os.Stat(path)
	return err == nil && info.IsDir(), err
}

func (disk) Writable(path string) bool { return Refusal(path) == "" }

// Refusal tells why we may not replace the file at path, links followed, and how to
// mend that; empty when we may. A file that its owner has made read-only is left
// alone, although replacing it would work: somebody else manages it.
func Refusal(path string) string {
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err.Error()
	}
	info, err := os.Stat(at)
	if err != nil {
		return err.Error()
	}
	uid, dir, is := os.Geteuid(), filepath.Dir(at), info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case is.Uid != uint32(uid) && uid != 0:
		return fmt.Sprintf("it belongs to user %d and mcctl runs as user %d: chown %d: %s", is.Uid, uid, uid, shell.Word(at))
	case !mayGive(dir, is.Gid):
		return fmt.Sprintf("its group is %d, to which user %d does not belong, so that no new file can be given to it: chown %d: %s", is.Gid, uid, uid, shell.Word(at))
	case info.Mode()&0o200 == 0:
		return fmt.Sprintf("it is read-only (mode %04o): chmod u+w it", info.Mode().Perm())
	}
	const write, search = 2, 1 // W_OK, X_OK
	if err := syscall.Access(dir, write|search); err != nil {
		return fmt.Sprintf("its directory %s cannot be written (%v), and a file is replaced by one written beside it: give the directory to the user that runs mcctl", dir, err)
	}
	return ""
}

// mayGive tells whether a file that we make in dir can have the group: that of the
// directory if it hands that on, else one of our own (chown(2)).
func mayGive(dir string, group uint32) bool {
	if os.Geteuid() == 0 || group == uint32(os.Getegid()) {
		return true
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode()&os.ModeSetgid != 0 && info.Sys().(*syscall.Stat_t).Gid == group {
		return true
	}
	groups, _ := os.Getgroups() // none, if they cannot be told
	return slices.Contains(groups, int(group))
}
