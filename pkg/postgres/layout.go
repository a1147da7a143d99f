package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// Layout is what of a data directory lies outside it, behind symbolic links. It is
// this server's own: a copy gets it whatever the source has.
type Layout struct {
	WAL         string            `json:"wal,omitempty"`         // where pg_wal leads; empty: it is a plain directory
	Tablespaces map[string]string `json:"tablespaces,omitempty"` // where pg_tblspc/OID leads, by OID
	// Mount is where the file system that holds the data directory is mounted.
	Mount string `json:"mount,omitempty"`
}

// Layout reads the links of the data directory. One without links, or none at all,
// has an empty layout.
func (in *Instance) Layout() (Layout, error) { return layoutOf(in.Data) }

func layoutOf(data string) (Layout, error) {
	l := Layout{Tablespaces: map[string]string{}, Mount: mountOf(data)}
	var err error
	if l.WAL, err = linkTarget(filepath.Join(data, "pg_wal")); err != nil {
		return l, fmt.Errorf("read layout: %w", err)
	}
	entries, err := os.ReadDir(filepath.Join(data, "pg_tblspc"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("read layout: %w", err)
	}
	for _, e := range entries {
		dir, err := linkTarget(filepath.Join(data, "pg_tblspc", e.Name()))
		if err != nil {
			return l, fmt.Errorf("read layout: %w", err)
		}
		if dir != "" { // a plain directory is a tablespace in place, and moves with the data
			l.Tablespaces[e.Name()] = dir
		}
	}
	return l, nil
}

// mountOf is the highest directory above dir on the same file system: by it an empty
// data directory is told from one whose file system is not mounted. Empty if dir
// cannot be looked at.
func mountOf(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil {
		return ""
	}
	for dir != "/" && unix.Stat(filepath.Dir(dir), &above) == nil && above.Dev == here.Dev {
		dir = filepath.Dir(dir)
	}
	return dir
}

// Unmounted is the place of the file system that held the data directory when known
// was saved, if none is mounted there now.
func (in *Instance) Unmounted(known Layout) string {
	if known.Mount == "" || known.Mount == "/" || mountOf(known.Mount) == known.Mount {
		return ""
	}
	return known.Mount
}

// linkTarget is where a link leads in the end, as an absolute path, also when
// nothing is there; empty when the path is no link.
func linkTarget(link string) (string, error) {
	to, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) || err != nil && !isLink(link) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if whole, err := filepath.EvalSymlinks(link); err == nil {
		return whole, nil
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(link), to)
	}
	return to, nil
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// place is one directory outside the data directory and the link that leads there.
type place struct {
	link string // from the data directory: pg_wal or pg_tblspc/OID
	dir  string
}

func (l Layout) places() (all []place) {
	if l.WAL != "" {
		all = append(all, place{"pg_wal", l.WAL})
	}
	for _, oid := range slices.Sorted(maps.Keys(l.Tablespaces)) {
		all = append(all, place{filepath.Join("pg_tblspc", oid), l.Tablespaces[oid]})
	}
	return all
}

// relink makes the links of a data directory lead to the places as the function
// names them.
func relink(data string, places []place, name func(dir string) string) error {
	for _, p := range places {
		if err := durable.Symlink(name(p.dir), filepath.Join(data, p.link)); err != nil {
			return fmt.Errorf("lead %s to %s: %w", p.link, name(p.dir), err)
		}
	}
	return nil
}

// goal is the layout that a copy of the source gets here, and the tablespaces that
// must be mapped to it. What this server had stays where it was; when its data
// directory was emptied, known tells where that was. A tablespace that is new here
// goes where the source has it.
func (in *Instance) goal(ctx context.Context, source Source, known Layout) (Layout, []Tablespace, error) {
	spaces, err := source.Tablespaces(ctx)
	if err != nil {
		return Layout{}, nil, err
	}
	goal, err := in.placesOf(spaces, known)
	if err != nil {
		return goal, nil, err
	}
	return goal, spaces, in.FreeOfMounts(goal)
}

// placesOf is the layout with these tablespaces.
func (in *Instance) placesOf(spaces []Tablespace, known Layout) (Layout, error) {
	goal, err := in.ownLayout(known)
	if err != nil {
		return goal, err
	}
	had := goal.Tablespaces
	goal.Tablespaces = map[string]string{}
	for _, t := range spaces {
		dir := had[t.OID]
		if dir == "" {
			dir = t.Location
			if err := unclaimed(t, dir); err != nil {
				return goal, err
			}
		}
		goal.Tablespaces[t.OID] = dir
	}
	if goal, err = goal.real(); err != nil {
		return goal, err
	}
	return goal, in.Apart(goal)
}

// real names every directory as it is without links. The copy of one lies beside it, by
// its name, and is found there again by the link that leads to it, which is resolved.
func (l Layout) real() (Layout, error) {
	to := Layout{Tablespaces: map[string]string{}, Mount: l.Mount}
	for _, p := range l.places() {
		dir, err := realDir(p.dir)
		if err != nil {
			return to, fmt.Errorf("find the place of %s: %w", p.link, err)
		}
		if p.link == "pg_wal" {
			to.WAL = dir
		} else {
			to.Tablespaces[filepath.Base(p.link)] = dir
		}
	}
	return to, nil
}

// realDir follows the links in a directory's name. The directory need not be there.
func realDir(dir string) (string, error) {
	whole, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return whole, err
	}
	if isLink(dir) {
		return "", fmt.Errorf("%s is a symbolic link that leads nowhere: mount what it leads to, or make that directory", dir)
	}
	above, err := realDir(filepath.Dir(dir))
	return filepath.Join(above, filepath.Base(dir)), err
}

// Apart refuses places that lie in the data directory, around it, or in each other.
// PostgreSQL only warns of such a tablespace (CreateTableSpace in tablespace.c, 13 to 18).
// But pg_rewind takes what is in the data directory for plain files, and removes those
// that the source has not by the same name; and a rename would move two at once.
func (in *Instance) Apart(l Layout) error {
	data, err := realDir(in.Data)
	if err != nil {
		return err
	}
	others := []place{{"the data directory", data}}
	for _, p := range l.places() {
		for _, o := range others {
			if isWithin(p.dir, o.dir) || isWithin(o.dir, p.dir) {
				return fmt.Errorf("%s, where %s leads, and %s, %s, lie in each other: a rewind or a copy would mix them up; while PostgreSQL is stopped, move %s elsewhere, and make the symbolic link %s in the data directory lead there", p.dir, p.link, o.dir, o.link, p.dir, p.link)
			}
		}
		others = append(others, p)
	}
	return nil
}

// isWithin tells that a path is the directory or below it.
func isWithin(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// ownLayout is the data directory's, with what is missing there taken from known.
func (in *Instance) ownLayout(known Layout) (Layout, error) {
	own, err := in.Layout()
	if err != nil {
		return own, err
	}
	if own.WAL == "" && !exists(filepath.Join(in.Data, "pg_wal")) {
		own.WAL = known.WAL
	}
	for oid, dir := range known.Tablespaces {
		if own.Tablespaces[oid] == "" {
			own.Tablespaces[oid] = dir
		}
	}
	return own, nil
}

// unclaimed refuses a directory that holds something which this server never had as
// its own: it may be anybody's, the source's itself on a machine with two servers.
func unclaimed(t Tablespace, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the place of tablespace %s: %w", t.Name, err)
	}
	for _, e := range entries {
		if !isResidue(e.Name()) {
			return fmt.Errorf("tablespace %s is new to this server, and its directory %s is not empty: empty it, or make the symbolic link pg_tblspc/%s in the data directory lead to another one", t.Name, dir, t.OID)
		}
	}
	return nil
}

// isResidue: names that do not make a directory count as used.
func isResidue(name string) bool {
	return name == "lost+found" || name == ProbeFile || strings.HasPrefix(name, copyDirName)
}

// ProbeFile is the small file that the supervisor writes in the data directory to
// try the disk. It is nobody's content.
const ProbeFile = "mcctl_io_probe"

// Empty tells that there is no cluster: the data directory is missing, or somebody
// has removed what was in it.
func (in *Instance) Empty() bool {
	entries, err := os.ReadDir(in.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !isResidue(e.Name()) })
}
