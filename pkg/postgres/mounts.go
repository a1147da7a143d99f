package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// FreeOfMounts refuses what is mounted inside a directory that a copy replaces. A rename
// takes it along, and nobody can remove a mount point (EBUSY, rmdir(2) and rename(2)): what
// was put aside would be emptied and stay for ever, and the next boot would mount the empty
// file system over the new data. The directories themselves may be mount points, see Beside.
func (in *Instance) FreeOfMounts(l Layout) error {
	return in.freeOfMounts(l, func(string) bool { return false })
}

// mayRewindOver leaves alone what is mounted where every data directory has a directory
// (subdirs in initdb.c, 13 to 18): pg_rewind neither makes nor removes that (filemap.c).
// Another one it would remove if the source has none, and fail in the middle.
func (in *Instance) mayRewindOver(l Layout) error {
	return in.freeOfMounts(l, func(below string) bool {
		return slices.Contains([]string{"base", "global", "pg_wal", "pg_stat_tmp"}, below)
	})
}

// freeOfMounts may leave out mount points by their names below the data directory.
func (in *Instance) freeOfMounts(l Layout, bears func(below string) bool) error {
	data, err := realDir(in.Data)
	if err != nil {
		return err
	}
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for _, p := range append(l.places(), place{dir: data}) {
		for _, point := range points {
			below, err := filepath.Rel(data, point)
			if point == p.dir || !isWithin(point, p.dir) || err == nil && bears(below) {
				continue
			}
			instead := "move what is in it to the file system of " + p.dir + ", and unmount it"
			if filepath.Dir(point) == data && mayBeLink(below) {
				instead = "mount that file system elsewhere, and make " + point + " a symbolic link to a directory there"
			}
			return fmt.Errorf("%s is a mount point inside %s, which would be emptied and could not be removed: while PostgreSQL is stopped, %s (docs/rebuild.md)", point, p.dir, instead)
		}
	}
	return nil
}

// isMountPoint looks at the name itself: what a link leads to is not what a rename moves.
func isMountPoint(dir string) (bool, error) {
	parent, err := realDir(filepath.Dir(dir))
	if err != nil {
		return false, err
	}
	points, err := mountPoints()
	return slices.Contains(points, filepath.Join(parent, filepath.Base(dir))), err
}

// mountPoints are all that this process sees. What is bound from the same file system has
// the same device number, and is told by nothing else.
func mountPoints() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for mount points: %w", err)
	}
	return parseMounts(string(text)), nil
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// parseMounts takes the fifth field of each line, in which a blank is \040 and the like
// (proc_pid_mountinfo(5)).
func parseMounts(text string) (points []string) {
	for line := range strings.Lines(text) {
		fields := strings.Split(line, " ")
		if len(fields) < 6 {
			continue
		}
		points = append(points, octal.ReplaceAllStringFunc(fields[4], func(escaped string) string {
			n, err := strconv.ParseUint(escaped[1:], 8, 8)
			if err != nil {
				return escaped
			}
			return string([]byte{byte(n)})
		}))
	}
	return points
}
