package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CanCopyBeside tells before a copy is begun whether it can be made beside the old
// data (see Beside), and whether everything in it would find its place.
func (in *Instance) CanCopyBeside(ctx context.Context, source Source, known Layout) error {
	_, _, err := in.goalBeside(ctx, source, known)
	return err
}

func (in *Instance) goalBeside(ctx context.Context, source Source, known Layout) (goal Layout, spaces []Tablespace, err error) {
	if err := in.strayLinks(); err != nil {
		return goal, nil, err
	}
	if err := in.mayReadOwn(); err != nil {
		return goal, nil, err
	}
	if goal, spaces, err = in.goal(ctx, source, known); err != nil {
		return goal, nil, err
	}
	return goal, spaces, in.Beside(goal)
}

// mayReadOwn finds what could not be copied of the own files (see copyDurably), which are
// copied last: after hours perhaps. Those of a server that runs may go meanwhile.
func (in *Instance) mayReadOwn() error {
	names, err := in.ownFiles()
	if err != nil {
		return fmt.Errorf("look for own files: %w", err)
	}
	for _, name := range names {
		err := filepath.WalkDir(filepath.Join(in.Data, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				err = mayRead(path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("a copy keeps what is this server's own in the data directory, and cannot read it: %w: give that to this user, move it out of the data directory, or remove it", err)
		}
	}
	return nil
}

func mayRead(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// strayLinks refuses links that a copy would not keep. PostgreSQL allows them for
// pg_wal and for tablespaces; what holds logs and statistics is kept as well.
func (in *Instance) strayLinks() error {
	entries, err := os.ReadDir(in.Data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for links in the data directory: %w", err)
	}
	layout, err := in.Layout()
	if err != nil {
		return err
	}
	if err := in.Apart(layout); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 && !mayBeLink(e.Name()) {
			return fmt.Errorf("%s in the data directory is a symbolic link, which a copy would not keep: make it a directory, or a file, before the rebuild (only pg_wal, pg_tblspc/*, log, pg_log and pg_stat_tmp may be links)", e.Name())
		}
	}
	return nil
}

// keptLink: directories whose content is not copied, and which may lie elsewhere.
func keptLink(name string) bool { return name == "log" || name == "pg_log" || name == "pg_stat_tmp" }

// mayBeLink: entries of the data directory that a copy keeps where they are links.
func mayBeLink(name string) bool { return name == "pg_wal" || keptLink(name) || !ofCluster(name) }
