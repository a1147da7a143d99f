package lost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/shell"
)

// Listed is how many transactions a report lists; it counts all of them.
const Listed = 1000

const (
	reportFile = "report.json"
	textFile   = "report.txt"
	seenFile   = "seen"
	// part ends the name of a report that is being made. Nobody reads it, and the next
	// one of the same divergence begins it anew.
	part = ".part"
)

// Store is the directory of all reports of a server. Each has a directory of its own.
type Store struct {
	Dir string
	// Waldump is the program that Commands name.
	Waldump string
}

// Files to save with a report, by their paths.
type Files struct {
	Paths []string
	Bytes int64
	// Most is how much saved log there may be in all afterwards.
	Most int64
}

// ErrNoReport tells that there is none of that name.
var ErrNoReport = errors.New("there is no such report")

// List is every report, oldest first. What cannot be read is left out.
func (s Store) List() ([]Report, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	var all []Report
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), part) {
			continue
		}
		if r, err := s.Get(e.Name()); err == nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Report) int { return a.Made.Compare(b.Made) })
	return all, nil
}

// Get is one report. ErrNoReport: there is none of that id.
func (s Store) Get(id string) (r Report, err error) {
	if id == "" || filepath.Base(id) != id || strings.HasSuffix(id, part) {
		return r, fmt.Errorf("read report %q: %w", id, ErrNoReport)
	}
	dir := filepath.Join(s.Dir, id)
	if err := durable.ReadJSON(filepath.Join(dir, reportFile), &r); errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("read report %q: %w", id, ErrNoReport)
	} else if err != nil {
		return r, fmt.Errorf("read report %q: %w", id, err)
	}
	_, notSeen := os.Stat(filepath.Join(dir, seenFile))
	r.Seen = notSeen == nil
	return s.placed(r), nil
}

// placed fills in where the report lies.
func (s Store) placed(r Report) Report {
	r.Directory, r.Commands = filepath.Join(s.Dir, r.ID), nil
	if len(r.Segments) > 0 {
		r.Commands = []string{fmt.Sprintf("%s --path=%s --timeline=%d --start=%s", shell.Word(s.Waldump), shell.Word(r.Directory), r.Timeline, r.From)}
	}
	return r
}

// Newest is the newest report that no operator has marked as seen.
func (s Store) Newest() (r Report, found bool) {
	all, err := s.List()
	if err != nil {
		return r, false
	}
	for _, one := range slices.Backward(all) {
		if !one.Seen {
			return one, true
		}
	}
	return r, false
}

// See marks a report as seen.
func (s Store) See(id string) error {
	if _, err := s.Get(id); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.Dir, id, seenFile), nil, 0o600)
}

// Of is the report on a divergence, if there is one.
func (s Store) Of(on pair.Timeline, at pair.LSN) (r Report, found bool) {
	all, err := s.List()
	if err != nil {
		return r, false
	}
	for _, r := range all {
		if r.Timeline == on && r.From == at {
			return r, true
		}
	}
	return r, false
}

// Room says why files may not be saved now, if so.
func (s Store) Room(f Files) error {
	if f.Bytes > f.Most {
		return fmt.Errorf("it takes %d MB and policy.lost_wal_max allows %d", f.Bytes>>20, f.Most>>20)
	}
	at := s.Dir
	for {
		var st syscall.Statfs_t
		err := syscall.Statfs(at, &st)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			at = filepath.Dir(at)
			continue
		}
		if err != nil {
			return fmt.Errorf("look at the file system of %s: %w", at, err)
		}
		free, all := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
		if reserve := min(all/10, 1<<30); free-f.Bytes < reserve {
			return fmt.Errorf("the file system of %s has %d MB free, and of these %d must stay free for PostgreSQL", at, free>>20, reserve>>20)
		}
		return nil
	}
}

// Save writes a report and its files, all or nothing: under its name there is a whole
// report or none. One of the same id is replaced.
func (s Store) Save(r Report, f Files) (Report, error) {
	dir := filepath.Join(s.Dir, r.ID+part)
	err := s.fill(dir, r, f)
	if err != nil {
		_ = os.RemoveAll(dir) // it takes up room, and nobody can use it
		return r, fmt.Errorf("save report %s: %w", r.ID, err)
	}
	final := filepath.Join(s.Dir, r.ID)
	if err := os.RemoveAll(final); err != nil {
		return r, fmt.Errorf("save report %s: %w", r.ID, err)
	}
	if err := os.Rename(dir, final); err != nil {
		return r, fmt.Errorf("save report %s: %w", r.ID, err)
	}
	return s.placed(r), syncDir(s.Dir)
}

func (s Store) fill(dir string, r Report, f Files) error {
	if err := s.dropParts(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, path := range f.Paths {
		if err := copyFile(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			return err
		}
	}
	var text strings.Builder
	if err := s.placed(r).Text(&text); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, textFile), []byte(text.String()), 0o600); err != nil {
		return err
	}
	if err := durable.WriteJSON(filepath.Join(dir, reportFile), r, 0o600); err != nil {
		return err
	}
	return syncDir(dir)
}

// dropParts removes what kill -9 has left of reports that were being made.
func (s Store) dropParts() error {
	left, err := filepath.Glob(filepath.Join(s.Dir, "*"+part))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // the kernel shares the blocks where the file system can
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Prune deletes the oldest reports beyond a number, and the oldest saved log beyond a
// size. The newest report stays as it is.
func (s Store) Prune(reports int, most int64) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	kept, size := 0, int64(0)
	for _, r := range slices.Backward(all) {
		if kept++; kept > reports {
			err = errors.Join(err, os.RemoveAll(r.Directory))
			continue
		}
		if size += saved(r); size > most && kept > 1 {
			size -= saved(r)
			err = errors.Join(err, s.forget(r))
		}
	}
	return err
}

func saved(r Report) (bytes int64) {
	for _, name := range r.Segments {
		if info, err := os.Stat(filepath.Join(r.Directory, name)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// forget deletes the saved log of a report, after the report says so.
func (s Store) forget(r Report) error {
	gone := r.Segments
	r.Segments, r.NotSaved = nil, "it was, and was deleted to make room for newer log (policy.lost_wal_max)"
	dir := r.Directory
	r.Directory, r.Commands = "", nil
	if err := durable.WriteJSON(filepath.Join(dir, reportFile), r, 0o600); err != nil {
		return err
	}
	for _, name := range gone {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
