package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mcctl/pkg/durable"
)

// copyDirName is where a copy in place is made, below each directory that is copied
// into: pg_basebackup wants an empty directory, and there lost+found or the
// supervisor's own disk probe may be.
const copyDirName = "mcctl_copy"

// BaseBackupInPlace copies the source into the data directory itself, and into this
// server's own directories for pg_wal and tablespaces. They are emptied first but
// not removed, so that a mount point, its owner and its mode stay. It is for
// servers where a copy beside and a rename are not possible: until it has
// succeeded there is no copy at all on this host. The own configuration files are
// kept in keepDir meanwhile.
//
// Any error once the emptying has begun is ErrUnfinished; call it again. See
// RestoreKept for a crash.
func (in *Instance) BaseBackupInPlace(ctx context.Context, source Source, keepDir string, opt BackupOptions) error {
	to, err := in.prepareInPlace(ctx, source, keepDir, opt)
	if err != nil {
		return fmt.Errorf("base backup in place: %w", err)
	}
	if err := in.copyInPlace(ctx, source, opt, to); err != nil {
		return errors.Join(fmt.Errorf("base backup in place: %w", err), in.RestoreKept(keepDir))
	}
	if err := in.finishKept(keepDir); err != nil {
		return fmt.Errorf("base backup in place: %w", err)
	}
	return nil
}

// prepareInPlace does all that can fail while the old data is still whole.
func (in *Instance) prepareInPlace(ctx context.Context, source Source, keepDir string, opt BackupOptions) (copyGoal, error) {
	to := copyGoal{data: inside(in.Data), name: inside}
	if _, running := in.Postmaster(); running {
		return to, errors.New("the server is running; stop it first")
	}
	if err := in.strayLinks(); err != nil {
		return to, err
	}
	known, err := opt.Known, in.RestoreKept(keepDir)
	again := errors.Is(err, ErrUnfinished) // a second try: what the first one kept is what to keep
	if again {
		known, err = keptLayoutOf(keepDir)
	}
	if err != nil {
		return to, err
	}
	if to.layout, to.spaces, err = in.goal(ctx, source, known); err != nil {
		return to, err
	}
	if err := in.dropCopy(to.layout); err != nil { // it takes up room, and nobody goes on with it
		return to, err
	}
	switch { // last: by what is kept the data counts as half made
	case again:
		return to, nil
	case in.Empty() && opt.Own != "" && exists(opt.Own):
		return to, makeWhole(keepDir, func(part string) error {
			if err := copyDurably(opt.Own, part); err != nil {
				return err
			}
			return durable.WriteJSON(filepath.Join(part, keptLayout), to.layout, 0o600) // the data is here now, wherever it was
		})
	}
	return to, in.keep(keepDir)
}

func inside(dir string) string { return filepath.Join(dir, copyDirName) }

func (in *Instance) copyInPlace(ctx context.Context, source Source, opt BackupOptions, to copyGoal) error {
	places := to.layout.places()
	for _, p := range append(places, place{dir: in.Data}) {
		if err := os.MkdirAll(p.dir, 0o700); err != nil {
			return fmt.Errorf("make %s: %w", p.dir, err)
		}
		if err := emptyDir(p.dir); err != nil {
			return err
		}
	}
	if err := in.copyTo(ctx, source, opt, to); err != nil {
		return err
	}
	// The links first: they lead into the places' copies, which are about to move.
	if err := relink(to.data, places, older); err != nil {
		return err
	}
	for _, p := range append(places, place{dir: in.Data}) {
		if err := moveUp(inside(p.dir), p.dir); err != nil {
			return err
		}
	}
	return in.MarkStandby() // until then it counts as half made: nothing would tell it from a primary
}

// moveUp moves everything in a directory into the one above.
func moveUp(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("move copy: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return fmt.Errorf("move copy: %w", err)
		}
	}
	if err := os.Remove(from); err != nil {
		return fmt.Errorf("move copy: %w", err)
	}
	return syncDir(to)
}

// keptLayout remembers in the keep directory where the links led to.
const keptLayout = ".layout.json"

func (in *Instance) keepLayout(dir string) error {
	layout, err := in.Layout()
	if err != nil {
		return err
	}
	return durable.WriteJSON(filepath.Join(dir, keptLayout), layout, 0o600)
}

func keptLayoutOf(dir string) (l Layout, err error) {
	err = durable.ReadJSON(filepath.Join(dir, keptLayout), &l)
	return l, err
}

// isMark tells the keep directory's own entries from the saved files.
func isMark(name string) bool { return name == finished || name == keptLayout }

// entryNames lists what was saved in a keep directory, without its marks.
func entryNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !isMark(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// emptyDir deletes what is in the directory, but for what is the file system's own.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	for _, e := range entries {
		if isResidue(e.Name()) && !strings.HasPrefix(e.Name(), copyDirName) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	return nil
}
