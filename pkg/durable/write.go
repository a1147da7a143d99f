package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile makes data the content of the file at path, all or nothing, and
// returns when it is on the disk. A symbolic link is followed. An existing file
// keeps its owner, group, mode and access lists; a new one belongs to the caller and gets
// exactly mode, whatever the umask. Of several writers, in this process or in
// others, one after the other gets through.
//
// After an error the old content is in place, with one exception: if only the
// directory could not be synced, the new content is visible but may be lost with
// power, and the caller should write again.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := writeFile(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, data []byte, mode fs.FileMode) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	temp, err := openTemp(tempName(path))
	if err != nil {
		return err
	}
	// Closing releases the lock, so it comes after the rename or the removal.
	defer temp.Close()
	if err := fill(temp, path, data, mode); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	dir, err := os.Open(filepath.Dir(path)) // before the rename: there may be no descriptor left
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	defer dir.Close()
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// fill gives temp everything the finished file has: content, owner, mode. It is
// closed to others first, being perhaps a leftover of any mode, and opened last,
// so that a secret is never readable under a wrong owner.
func fill(temp *os.File, path string, data []byte, mode fs.FileMode) error {
	if err := errors.Join(temp.Chmod(0o600), temp.Truncate(0)); err != nil {
		return err
	}
	if _, err := temp.Write(data); err != nil {
		return err
	}
	mode, err := keepOwner(temp, path, mode)
	if err != nil {
		return err
	}
	if err := temp.Chmod(mode); err != nil {
		return err
	}
	if err := keepAttributes(temp, path); err != nil {
		return err
	}
	return temp.Sync()
}

// keepOwner gives temp the owner and group of the file at path and returns the
// mode it shall get: that file's, or the wanted one when there is no file yet.
func keepOwner(temp *os.File, path string, wanted fs.FileMode) (fs.FileMode, error) {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return wanted, nil
	}
	if err != nil {
		return 0, err
	}
	if !old.Mode().IsRegular() {
		return 0, fmt.Errorf("it is not a regular file but %s", old.Mode().Type())
	}
	fresh, err := temp.Stat()
	if err != nil {
		return 0, err
	}
	was, is := old.Sys().(*syscall.Stat_t), fresh.Sys().(*syscall.Stat_t)
	if was.Uid != is.Uid || was.Gid != is.Gid {
		if err := temp.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return 0, fmt.Errorf("keep its owner %d:%d (give the file to the user that runs mcctl, with chown): %w", was.Uid, was.Gid, err)
		}
	}
	return old.Mode() & kept, nil
}

// kept is what of a file's mode is kept.
const kept = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// openTemp opens the temporary file and locks it. The lock, not exclusive
// creation, keeps writers apart: it dies with its holder, so a leftover of a crash
// stops nobody, while a file that somebody is still filling is never taken away.
func openTemp(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrPermission) && os.Remove(name) == nil {
			continue // a leftover with a mode or an owner that shuts us out
		}
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		// While we waited, the holder before us has renamed or removed what we opened.
		if sameFile(f, name) {
			return f, nil
		}
		f.Close()
	}
}

func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func sameFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(opened, named)
}
