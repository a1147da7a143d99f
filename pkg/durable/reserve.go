package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Reserve is the path of a file that holds room for another one, against the day when
// the disk is full: then it makes way.
type Reserve string

// reserveBytes is far more than a small file and its directory's blocks need.
const reserveBytes = 64 << 10

// Keep makes the reserve if it is not there. Where there is no room for it there is
// nothing to be done about that now.
func (r Reserve) Keep() {
	if info, err := os.Stat(string(r)); err == nil && info.Size() == reserveBytes {
		return
	}
	filler := make([]byte, reserveBytes)
	_, _ = rand.Read(filler) // what a file system could compress would hold no room
	if WriteFile(string(r), filler, 0o600) != nil {
		_ = os.Remove(string(r))
	}
}

// ReadJSON, Remove and Sync are the functions of these names: with WriteJSON it is a Disk.
func (r Reserve) ReadJSON(path string, v any) error { return ReadJSON(path, v) }

// Remove: see ReadJSON.
func (r Reserve) Remove(path string) error { return Remove(path) }

// Sync: see ReadJSON.
func (r Reserve) Sync(path string) error { return Sync(path) }

// WriteJSON is the function of that name. On a full disk it is tried once more in the
// place of the reserve, which is made again as soon as there is room.
func (r Reserve) WriteJSON(path string, v any, mode os.FileMode) error {
	err := WriteJSON(path, v, mode)
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		if err == nil {
			r.Keep()
		}
		return err
	}
	if Remove(string(r)) != nil {
		return err
	}
	if again := WriteJSON(path, v, mode); again != nil {
		return fmt.Errorf("%w; also without %s", again, r)
	}
	return nil
}
