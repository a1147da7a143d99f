package postgres

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// replaceDurably makes a path what another one is: nothing stays of what was there before,
// which may be of another type, or a directory with more in it.
func replaceDurably(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("replace %s: %w", to, err)
	}
	return copyDurably(from, to)
}

// copyDurably copies a file, a symbolic link as such, or a directory with all in it.
func copyDurably(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
		return durable.Symlink(target, to)
	case info.IsDir():
		return copyDir(from, to, info.Mode().Perm())
	case !info.Mode().IsRegular():
		return nil // a socket or the like is not content
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return durable.WriteFile(to, b, info.Mode().Perm())
}

func copyDir(from, to string, mode os.FileMode) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := os.MkdirAll(to, mode|0o700); err != nil { // else nothing could be copied into it
		return fmt.Errorf("copy %s: %w", from, err)
	}
	for _, e := range entries {
		if err := copyDurably(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(to))
}

// renameDurably renames within one file system, also over an empty directory, which
// os.Rename refuses, and returns when that is on the disk.
func renameDurably(from, to string) error {
	if err := unix.Rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
