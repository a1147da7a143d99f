package disk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeAndSync is one try. A full disk is not a failed one, and a directory that is
// not there is being swapped by a rebuild.
func writeAndSync(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteAt([]byte("mcctl tries whether this disk still writes\n"), 0)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if blameless(err) {
		return nil
	}
	return err
}

// blameless: the disk is full, or the machine out of descriptors or memory.
func blameless(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOENT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Room is what a file system holds. Free is what an ordinary user may still write.
// Files are inodes, 0 where the file system does not count them.
type Room struct {
	Total uint64 `json:"total,omitempty"`
	Free  uint64 `json:"free,omitempty"`
	Files uint64 `json:"files,omitempty"`
	Left  uint64 `json:"left,omitempty"` // of Files
}

// Known: it was looked at.
func (r Room) Known() bool { return r.Total > 0 }

func roomOf(path string) Room {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return Room{}
	}
	size := uint64(st.Bsize)
	return Room{Total: st.Blocks * size, Free: st.Bavail * size, Files: st.Files, Left: st.Ffree}
}

func deviceOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Dev, nil
}
