package conffiles

import (
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"mcctl/pkg/pgconf"
)

// Watched is the tree of files as it was read last. It is read again only when a
// file or directory that was looked at has changed, which a stat of each tells. It
// may be used from several goroutines.
type Watched struct {
	roots pgconf.Roots

	mu      sync.Mutex
	tree    *pgconf.Tree // nil: not read, or forgotten
	seen    map[string]stamp
	version int
}

// NewWatched has read nothing yet.
func NewWatched(roots pgconf.Roots) *Watched { return &Watched{roots: roots} }

// Tree is the tree as it is on disk, not to be edited, and a number that grows
// whenever it was read anew. The error is that of Read, told until it is mended.
func (w *Watched) Tree() (t *pgconf.Tree, version int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tree == nil || w.changed() {
		d := recorder{seen: map[string]stamp{}}
		w.tree, err = read(d, w.roots)
		w.seen = d.seen
		w.version++
	}
	return w.tree, w.version, err
}

// Forget makes the next Tree read the files, whatever their stat says: two changes
// within a tick of the file system's clock can look like one.
func (w *Watched) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tree = nil
}

// Places are the files and directories that the tree was read from and those it
// looked for in vain, with the targets of links. What happens there may change it.
func (w *Watched) Places() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var places []string
	for path := range w.seen {
		places = append(places, path)
		if target, err := filepath.EvalSymlinks(path); err == nil {
			places = append(places, target)
		}
	}
	slices.Sort(places)
	return slices.Compact(places)
}

func (w *Watched) changed() bool {
	for path, was := range w.seen {
		if stampOf(path) != was {
			return true
		}
	}
	return false
}

// stamp is what tells that a file is the same and unchanged. The zero value is a
// file that cannot be looked at.
type stamp struct {
	dev, ino    uint64
	size        int64
	mod, change syscall.Timespec
}

func stampOf(path string) stamp {
	var st syscall.Stat_t // several times a second, so without os.Stat's garbage
	if err := syscall.Stat(path, &st); err != nil {
		return stamp{}
	}
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mod: st.Mtim, change: st.Ctim}
}

// recorder remembers what was looked at. The stamp is taken before the look, so that
// a change in between is noticed at the next turn.
type recorder struct {
	disk
	seen map[string]stamp
}

func (r recorder) ReadFile(path string) ([]byte, error) {
	r.seen[path] = stampOf(path)
	return r.disk.ReadFile(path)
}

// IsDir is noted too: a link in an include_dir that leads nowhere hides all that comes
// after it, until somebody makes what it leads to.
func (r recorder) IsDir(path string) (bool, error) {
	if _, known := r.seen[path]; !known {
		r.seen[path] = stampOf(path)
	}
	return r.disk.IsDir(path)
}

func (r recorder) List(dir string) ([]string, error) {
	r.seen[dir] = stampOf(dir)
	return r.disk.List(dir)
}
