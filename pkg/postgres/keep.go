package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// ErrUnfinished tells that a rewind or a copy into the data directory was cut off
// in the middle. The directory must not be started, however healthy it looks:
// its blocks are a mixture of two histories. Copy it anew with BaseBackup.
var ErrUnfinished = errors.New("the data directory was left half rewritten; rebuild it")

// ErrUnmounted tells that such data is not here at all: nobody may take what is here for it.
var ErrUnmounted = errors.New("the file system that held the data is not mounted")

// finished marks a keep directory while the data directory is whole: its rewind or copy
// has succeeded, or has not begun to write.
const finished = ".finished"

// keep saves this server's own files (see ownFiles) to dir before a program
// writes the source's over them. Once dir exists it is complete.
func (in *Instance) keep(dir string) error {
	_, err := in.keepUpTo(dir, math.MaxInt64)
	return err
}

// keepWhole is keep, and the data counts as whole until markBegun.
func (in *Instance) keepWhole(dir string) error {
	return makeWhole(dir, func(part string) error {
		if err := in.keep(part); err != nil {
			return err
		}
		return markFinished(part)
	})
}

// keepUpTo leaves out, and names, what at the top level is larger than the limit in bytes,
// with all that is in it.
func (in *Instance) keepUpTo(dir string, limit int64) (large []string, err error) {
	names, err := in.ownFiles()
	if err != nil {
		return nil, fmt.Errorf("keep own files: %w", err)
	}
	sizes := map[string]int64{}
	for _, name := range names {
		size, err := sizeOf(filepath.Join(in.Data, name), limit)
		if err != nil {
			return nil, fmt.Errorf("keep own files: %w", err)
		}
		if size > limit {
			large = append(large, name)
		} else {
			sizes[name] = size
		}
	}
	if err := in.mayFill(dir, sizes); err != nil {
		return nil, fmt.Errorf("keep own files: %w", err)
	}
	err = makeWhole(dir, func(part string) error {
		if err := os.MkdirAll(part, 0o700); err != nil {
			return err
		}
		for name := range sizes {
			if err := copyDurably(filepath.Join(in.Data, name), filepath.Join(part, name)); err != nil {
				return err
			}
		}
		return in.keepLayout(part)
	})
	if err != nil {
		return nil, fmt.Errorf("keep own files: %w", err)
	}
	return large, nil
}

// mayFill leaves half of what is free on another disk than the data's: on a full one the
// record could not be saved.
func (in *Instance) mayFill(dir string, sizes map[string]int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(dir), &st); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	here, errHere := deviceOf(in.Data)
	there, errThere := deviceOf(filepath.Dir(dir))
	if here == there || errHere != nil || errThere != nil { // what is large is linked
		return errors.Join(errHere, errThere)
	}
	free, all, most := int64(st.Bavail)*st.Bsize, int64(0), ""
	for name, size := range sizes {
		if all += size; size > sizes[most] {
			most = name
		}
	}
	if all > free/2 {
		return fmt.Errorf("they are %d MB, most of it in %s, and of %d MB free at %s half must stay free: move what is large out of the data directory", all>>20, filepath.Join(in.Data, most), free>>20, filepath.Dir(dir))
	}
	return nil
}

// clearOwn takes away from the data directory what is kept in dir: pg_rewind would not get
// past a file that only may be read, as a key is.
func (in *Instance) clearOwn(dir string) error {
	names, err := entryNames(dir)
	if err != nil {
		return fmt.Errorf("clear own files: %w", err)
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(in.Data, name)); err != nil {
			return fmt.Errorf("clear own files: %w", err)
		}
	}
	return nil
}

// RestoreKept brings back what Rewind or BaseBackupInPlace saved in dir. Run
// it at every start of the supervisor, before PostgreSQL: it does nothing when
// there is nothing to do, and may itself be cut off anywhere. ErrUnfinished means
// that the files are back but PostgreSQL must not be started; that stays so until
// DropKept. ErrUnmounted: nothing was done.
func (in *Instance) RestoreKept(dir string) error {
	if !exists(dir) {
		return nil
	}
	if err := in.heldHere(dir); err != nil {
		return fmt.Errorf("restore own files: %w", err)
	}
	names, err := entryNames(dir)
	if err != nil {
		return fmt.Errorf("restore own files: %w", err)
	}
	for _, name := range names {
		if err := replaceDurably(filepath.Join(dir, name), filepath.Join(in.Data, name)); err != nil {
			return fmt.Errorf("restore own files: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, finished)); err != nil {
		return fmt.Errorf("restore own files from %s: %w", dir, ErrUnfinished)
	}
	return in.DropKept(dir)
}

// heldHere looks whether the file system is mounted whose data dir was kept from.
func (in *Instance) heldHere(dir string) error {
	known, err := keptLayoutOf(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if gone := in.Unmounted(known); gone != "" {
		return fmt.Errorf("%w at %s, and a rewind or a copy was cut off in it: mount it; if the data shall be here from now on: empty %s, remove %s, and run mcctl rebuild, on this server", ErrUnmounted, gone, in.Data, dir)
	}
	return nil
}

// DropKept forgets what is saved in dir: when a swap puts a whole copy in the
// place of unfinished data.
func (in *Instance) DropKept(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// Renamed first: a half emptied directory must not be taken for a saved one.
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("drop kept files: %w", err)
	}
	if err := renameDurably(dir, part); err != nil {
		return fmt.Errorf("drop kept files: %w", err)
	}
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("drop kept files: %w", err)
	}
	return nil
}

// ownFiles are the top-level entries of the data directory that belong to this
// server and not to the cluster's content: configuration, included files and
// their directories, certificates. pg_rewind copies or removes them all, so that
// they end up as in the source. A directory with a tablespace in it is not among them.
func (in *Instance) ownFiles() ([]string, error) {
	entries, err := os.ReadDir(in.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	places, err := in.placesInside()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		link := e.Type()&fs.ModeSymlink != 0
		if e.Type()&^(fs.ModeDir|fs.ModeSymlink) == 0 && !places[e.Name()] && (!ofCluster(e.Name()) || link && keptLink(e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// placesInside are the top-level entries that hold a directory to which a link of the data
// directory leads: content of the cluster (see Apart).
func (in *Instance) placesInside() (map[string]bool, error) {
	layout, err := in.Layout()
	if err != nil {
		return nil, err
	}
	data, err := realDir(in.Data)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, p := range layout.places() {
		if below, err := filepath.Rel(data, p.dir); err == nil {
			name, _, _ := strings.Cut(below, "/")
			names[name] = true
		}
	}
	return names, nil
}

// ofCluster tells the names that PostgreSQL itself gives ("Database File Layout"
// in the manual, 13 to 18), logs, which may be large, and what is nobody's content.
func ofCluster(name string) bool {
	if strings.HasPrefix(name, "pg_hba") || strings.HasPrefix(name, "pg_ident") {
		return false
	}
	return isResidue(name) || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "postmaster.") ||
		strings.HasPrefix(name, "backup_") || strings.HasPrefix(name, "tablespace_map") ||
		strings.HasSuffix(name, ".signal") || strings.HasSuffix(name, ".tmp") ||
		slices.Contains([]string{"base", "global", "PG_VERSION", "current_logfiles", "log", "promote", "logical_slot_sync"}, name)
}

// markFinished notes that the data directory is whole again.
func markFinished(dir string) error {
	return durable.WriteFile(filepath.Join(dir, finished), nil, 0o600)
}

// markBegun notes that the data directory is about to be written.
func markBegun(dir string) error { return durable.Remove(filepath.Join(dir, finished)) }
