package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

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

// makeWhole has a directory made under another name: once it has its own it is complete,
// and of one that was not made nothing is left.
func makeWhole(dir string, make func(part string) error) error {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	err := make(part)
	if err == nil {
		err = renameDurably(part, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return nil
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
		return copyDir(from, to)
	case !info.Mode().IsRegular():
		return nil // a socket or the like is not content
	}
	return copyFile(from, to, info)
}

// largeFile is more than any configuration file has: what is larger was put into the data
// directory by somebody for another purpose.
const largeFile = 1 << 20

// copyFile gives what is large a second name where that is possible, which costs neither
// time nor room. One of the two goes soon: a copy is there to replace what it is made of.
func copyFile(from, to string, info fs.FileInfo) error {
	if info.Size() > largeFile && os.Link(from, to) == nil {
		return syncDir(filepath.Dir(to))
	}
	content, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer content.Close()
	made, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	_, err = io.Copy(made, content)
	// A key of root's that the group may read PostgreSQL takes, but not one of its own
	// (check_ssl_key_file_permissions in be-secure-common.c, 13 to 18).
	if int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		err = errors.Join(err, made.Chmod(info.Mode().Perm()&^0o077))
	} else {
		err = errors.Join(err, durable.Resemble(made, from))
	}
	if err := errors.Join(err, made.Sync(), made.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return syncDir(filepath.Dir(to))
}

func copyDir(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	for _, e := range entries {
		if err := copyDurably(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	made, err := os.Open(to)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := errors.Join(durable.Resemble(made, from), made.Sync(), made.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
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

// sizeOf adds up what is in a file or directory, and stops above the limit. What is small
// takes a block of the disk all the same.
func sizeOf(path string, limit int64) (bytes int64, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if bytes += max(info.Size(), 4<<10); bytes > limit {
			return fs.SkipAll
		}
		return nil
	})
	return bytes, err
}
