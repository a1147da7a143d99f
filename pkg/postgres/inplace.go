package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcctl/pkg/durable"
)

// keptWAL remembers in the keep directory where pg_wal led to.
const keptWAL = ".pg_wal"

// BaseBackupInPlace copies the source into the data directory itself, which is
// emptied first but not removed, so that a mount point, its owner and its mode
// stay. It is for servers where Data.new and a rename are not possible: until it
// has succeeded there is no copy at all on this host. The own configuration
// files are kept in keepDir meanwhile, a symbolic link pg_wal leads to the same
// directory afterwards.
//
// Any error once the emptying has begun is ErrUnfinished; call it again. See
// RestoreKept for a crash.
func (in *Instance) BaseBackupInPlace(ctx context.Context, source Source, keepDir string, opt BackupOptions) error {
	if err := in.prepareInPlace(ctx, source, keepDir); err != nil {
		return fmt.Errorf("base backup in place: %w", err)
	}
	if err := in.copyInPlace(ctx, source, keepDir, opt); err != nil {
		return errors.Join(fmt.Errorf("base backup in place: %w", err), in.RestoreKept(keepDir))
	}
	if err := in.finishKept(keepDir); err != nil {
		return fmt.Errorf("base backup in place: %w", err)
	}
	return nil
}

// prepareInPlace does all that can fail while the old data is still whole.
func (in *Instance) prepareInPlace(ctx context.Context, source Source, keepDir string) error {
	if _, running := in.Postmaster(); running {
		return errors.New("the server is running; stop it first")
	}
	if err := source.refuseTablespaces(ctx); err != nil {
		return err
	}
	err := in.RestoreKept(keepDir)
	if errors.Is(err, ErrUnfinished) {
		return nil // a second try: the files of the first one are the ones to keep
	}
	if err != nil {
		return err
	}
	return in.keep(keepDir)
}

func (in *Instance) copyInPlace(ctx context.Context, source Source, keepDir string, opt BackupOptions) error {
	waldir, err := os.Readlink(filepath.Join(keepDir, keptWAL))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find WAL directory: %w", err)
	}
	for _, dir := range []string{in.Data, waldir} {
		if dir == "" {
			continue
		}
		if err := emptyDir(dir); err != nil {
			return err
		}
	}
	return in.run(ctx, source.Passfile, opt.progressLine(), "pg_basebackup", opt.arguments(source, in.Data, waldir)...)
}

// keepWALLink saves where a symbolic link pg_wal leads to, as an absolute path.
func (in *Instance) keepWALLink(dir string) error {
	link := filepath.Join(in.Data, "pg_wal")
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return err
	}
	return durable.Symlink(target, filepath.Join(dir, keptWAL))
}

// isMark tells the keep directory's own entries from the saved files.
func isMark(name string) bool { return name == finished || name == keptWAL }

// emptyDir deletes what is in the directory, or nothing where pg_basebackup would
// refuse the emptied directory.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() == "lost+found" {
			return fmt.Errorf("empty %s: it is the root of a file system with lost+found, which pg_basebackup refuses; use a subdirectory", dir)
		}
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	return nil
}
