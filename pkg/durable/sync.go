package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Sync puts on the disk what a reader of the file at path sees: a writer that was killed
// between its rename and the sync of the directory leaves new content that is lost with
// power. It needs no room, so it does on a full disk too.
func Sync(path string) error {
	if err := syncFile(path); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

func syncFile(path string) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
