package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ownFileMax is more than any configuration file has. What is larger was put into the
// data directory by somebody for another purpose.
const ownFileMax = 1 << 20

// SaveOwn saves this server's own files and where its links lead to dir, for the
// day when somebody empties the data directory: a copy of the source has neither.
// It replaces what was saved before; an empty data directory saves nothing.
func (in *Instance) SaveOwn(dir string) error {
	if in.Empty() || !exists(filepath.Join(in.Data, "PG_VERSION")) {
		return nil
	}
	fresh, old := dir+".new", dir+".old"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("save own files: %w", err)
	}
	if err := in.keepUpTo(fresh, ownFileMax); err != nil {
		return fmt.Errorf("save own files: %w", err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("save own files: %w", err)
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save own files: %w", err)
	}
	if err := renameDurably(fresh, dir); err != nil {
		return fmt.Errorf("save own files: %w", err)
	}
	return os.RemoveAll(old)
}

// SavedOwn tells what SaveOwn left in dir: the layout, and the directory of the
// files, which is empty when there is none. A SaveOwn that was cut off is ended.
func SavedOwn(dir string) (Layout, string, error) {
	if !exists(dir) && exists(dir+".new") {
		if err := renameDurably(dir+".new", dir); err != nil {
			return Layout{}, "", fmt.Errorf("find saved files: %w", err)
		}
	}
	if !exists(dir) {
		return Layout{}, "", nil
	}
	layout, err := keptLayoutOf(dir)
	if err != nil {
		return Layout{}, "", fmt.Errorf("read saved files: %w", err)
	}
	return layout, dir, nil
}
