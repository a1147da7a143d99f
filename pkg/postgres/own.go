package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SaveOwn saves this server's own files and where its links lead to dir, for the
// day when somebody empties the data directory: a copy of the source has neither.
// It replaces what was saved before; an empty data directory saves nothing. What is
// larger than a megabyte is not configuration: it is left out, and named.
func (in *Instance) SaveOwn(dir string) (large []string, err error) {
	if in.Empty() || !exists(filepath.Join(in.Data, "PG_VERSION")) {
		return nil, nil
	}
	fresh, old := dir+".new", dir+".old"
	if err := os.RemoveAll(fresh); err != nil {
		return nil, fmt.Errorf("save own files: %w", err)
	}
	if large, err = in.keepUpTo(fresh, largeFile); err != nil {
		return nil, fmt.Errorf("save own files: %w", err)
	}
	if err := os.RemoveAll(old); err != nil {
		return nil, fmt.Errorf("save own files: %w", err)
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("save own files: %w", err)
	}
	if err := renameDurably(fresh, dir); err != nil {
		return nil, fmt.Errorf("save own files: %w", err)
	}
	return large, os.RemoveAll(old)
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
