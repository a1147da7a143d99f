package durable

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Resemble gives a file or directory that this user has just made what the one at path has
// beside its content: group, mode, access lists and other attributes. What it may not have,
// as it would belong to a group that is not this user's or lie on a file system without
// access lists, it goes without: a copy is there to be used. A directory can be emptied again.
func Resemble(made *os.File, path string) error {
	if err := resemble(made, path); err != nil {
		return fmt.Errorf("make %s like %s: %w", made.Name(), path, err)
	}
	return nil
}

func resemble(made *os.File, path string) error {
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	mode := old.Mode() & kept
	if old.IsDir() {
		mode |= 0o700
	}
	if made.Chown(-1, int(old.Sys().(*syscall.Stat_t).Gid)) != nil {
		return made.Chmod(forAnotherGroup(mode))
	}
	_ = keepAttributes(made, path) // first: of a file that may not be written they cannot be set
	return made.Chmod(mode)        // with the list it came from, it is that list's mask
}

// forAnotherGroup lets the group do what everybody may.
func forAnotherGroup(mode fs.FileMode) fs.FileMode {
	return mode&^(fs.ModeSetgid|0o070) | mode&0o007<<3
}
