package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotBeside tells that a copy cannot be made beside the directories that it
// shall replace.
var ErrNotBeside = errors.New("a copy beside the old data is not possible")

// Beside finds out whether a copy with this layout can be made beside the old
// directories and take their places by renames in the end: each must lie on its
// parent's file system, we must be allowed to write there, and the names must be free.
func (in *Instance) Beside(l Layout) error {
	all := append(l.places(), place{dir: in.Data})
	for _, p := range all {
		if err := beside(p.dir); err != nil {
			return fmt.Errorf("%w: %w", ErrNotBeside, err)
		}
		if slices.ContainsFunc(all, func(other place) bool { return other.dir == newer(p.dir) || other.dir == p.dir+".old" }) {
			return fmt.Errorf("%w: %s.new or %[2]s.old, which it needs, is in use by this server itself", ErrNotBeside, p.dir)
		}
	}
	return in.namesFree(l)
}

// namesFree finds out before a copy is made what would keep its swap from beginning, see
// setAside and voidData, or what the copy would have to delete. What an earlier swap has put
// aside would not, nor what an earlier copy has left.
func (in *Instance) namesFree(l Layout) error {
	if exists(in.Data + ".void") {
		return fmt.Errorf("%w: %s.void is in the way; move it away", ErrNotBeside, in.Data)
	}
	if err := in.foreignOld(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotBeside, err)
	}
	old, err := layoutOf(in.Data + ".old")
	if err != nil {
		return err
	}
	for _, p := range l.places() {
		aside := p.dir + ".old"
		if exists(aside) && !slices.ContainsFunc(old.places(), func(o place) bool { return o.dir == aside }) {
			return fmt.Errorf("%w: %s is in the way and does not belong to %s.old; move it away", ErrNotBeside, aside, in.Data)
		}
	}
	return in.foreignCopy(l)
}

func beside(dir string) error {
	parent := filepath.Dir(dir)
	if err := unix.Access(parent, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be written to: %w", parent, err)
	}
	device, err := deviceOf(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	above, err := deviceOf(parent)
	if err != nil {
		return err
	}
	if device != above {
		return fmt.Errorf("%s is a file system of its own", dir)
	}
	bound, err := isMountPoint(dir)
	if bound {
		return fmt.Errorf("%s is a mount point", dir)
	}
	return err
}

func deviceOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Dev, nil
}

// Room is what a copy needs on one file system, in bytes, and what is free there.
type Room struct {
	Path  string `json:"path"` // one of the directories that are copied to
	Needs int64  `json:"needs"`
	// Free is what this user may still write, with what the copy will remove first: an
	// earlier copy that was cut off, and in place the old data.
	Free int64 `json:"free"`
}

// Rooms sums up what a copy of the source needs, file system by file system: data,
// tablespaces, and the log that is written meanwhile.
func (in *Instance) Rooms(ctx context.Context, source Source, known Layout, has Holdings, inPlace bool) ([]Room, error) {
	goal, _, err := in.goal(ctx, source, known)
	if err != nil {
		return nil, err
	}
	needs := map[string]int64{in.Data: has.Bytes}
	for _, t := range has.Tablespaces {
		needs[goal.Tablespaces[t.OID]] += t.Bytes
	}
	if goal.WAL != "" {
		needs[goal.WAL] += has.WAL
	} else {
		needs[in.Data] += has.WAL
	}
	gone, err := in.copies(goal)
	if err != nil {
		return nil, fmt.Errorf("look for room: %w", err)
	}
	rooms := map[uint64]*Room{}
	for dir, n := range needs {
		if err := addRoom(rooms, dir, n); err != nil {
			return nil, fmt.Errorf("look for room: %w", err)
		}
		if inPlace {
			gone = append(gone, dir)
		}
	}
	for _, dir := range gone {
		if device, err := deviceOf(dir); err == nil && rooms[device] != nil {
			rooms[device].Free += diskUsage(dir)
		}
	}
	var all []Room
	for _, r := range rooms {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Room) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func addRoom(rooms map[uint64]*Room, dir string, needs int64) error {
	at := dir
	for !exists(at) {
		at = filepath.Dir(at)
	}
	device, err := deviceOf(at)
	if err != nil {
		return err
	}
	r := rooms[device]
	if r == nil {
		var st unix.Statfs_t
		if err := unix.Statfs(at, &st); err != nil {
			return fmt.Errorf("look at the file system of %s: %w", at, err)
		}
		r = &Room{Path: dir, Free: int64(st.Bavail) * st.Bsize}
		rooms[device] = r
	}
	r.Needs += needs
	r.Path = min(r.Path, dir)
	return nil
}

// diskUsage is what the files below a directory take; what cannot be read counts
// as nothing, which errs on the safe side.
func diskUsage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return bytes
}
