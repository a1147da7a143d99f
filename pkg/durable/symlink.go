package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Symlink makes path a symbolic link to target, replacing a link or a file that
// is there, and returns when that is on the disk. At any moment path leads to the
// old target or to the new one. A directory at path is an error. Unlike WriteFile
// it does not arbitrate between several writers of one link; its callers are single.
func Symlink(target, path string) error {
	temp := tempName(path)
	if err := Remove(temp); err != nil {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("link %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return nil
}
