// Package durable writes small files so that they survive a power cut: after a
// call has returned nil the new content is on the disk, and at any moment before
// that a reader finds either the old content or the new one, never a mixture. It
// is used for the record's copies, the state of plans and PostgreSQL's
// configuration files.
//
// It is not for data that grows: every write replaces the whole file. It keeps
// owner, mode, access lists and other extended attributes of the file it replaces,
// but not hard links. Called by conffiles, config, act, agent and witness; it knows
// nothing of what it writes.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// suffix ends the name of every temporary file, so that what a crash left behind
// can be told from the user's files. The name is fixed rather than random: the
// next write of the same file takes the leftover over, and no litter piles up.
const suffix = ".mcctl-tmp"

// maxLinks is how many symbolic links in a row are followed, as many as Linux does.
const maxLinks = 40

// tempName is the temporary file for path, hidden and in the same directory:
// a rename across file systems would not be atomic.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// Leftover reports whether a file's name says that a write which was cut off left it.
// The next write of the same file takes it over.
func Leftover(name string) bool { return strings.HasSuffix(name, suffix) }

// resolve follows symbolic links in the last element of path, also to a file that
// does not exist yet. Replacing the link itself would silently part the user's
// file from the place where it is kept, as with a postgresql.conf linked to /etc.
func resolve(path string) (string, error) {
	for range maxLinks {
		target, err := os.Readlink(path)
		switch {
		case err != nil && isLink(path):
			return "", fmt.Errorf("read link %s: %w", path, err)
		case err != nil:
			return path, nil // a plain file, or not there: whoever opens it will tell
		case filepath.IsAbs(target):
			path = target
		default:
			// Not filepath.Join: cleaning "dir/../x" is wrong when dir is a link.
			path = filepath.Dir(path) + string(filepath.Separator) + target
		}
	}
	return "", fmt.Errorf("follow %s: more than %d symbolic links; look for a loop", path, maxLinks)
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == fs.ModeSymlink
}

// syncDir makes the names in dir durable: fsync of a file saves its content, not
// the directory entry that leads to it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	err = d.Sync()
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
