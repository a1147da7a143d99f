package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mcctl/pkg/config"
)

// lockData makes sure that one supervisor of this host works on a data directory,
// whatever management directories name it: two would start, stop and rewind it against
// each other. The lock is a file beside it, since a rebuild replaces the directory
// itself. Where nothing can be made beside it, as on a mount point, nothing replaces it
// either, and it is locked itself. The kernel takes the lock away from a process that
// dies; the file stays, or two processes might hold two files of one name.
func lockData(c *config.Config) (unlock func(), err error) {
	data := c.Server.DataDirectory
	if at, err := filepath.EvalSymlinks(data); err == nil {
		data = at
	}
	dir, name := filepath.Split(data)
	f, err := os.OpenFile(filepath.Join(dir, "."+name+".mcctl-lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	beside := err == nil
	if !beside {
		if f, err = os.Open(data); errors.Is(err, fs.ErrNotExist) {
			return func() {}, nil // nothing there, and nothing can be put there
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
		whose := ""
		if holder, err := io.ReadAll(io.LimitReader(f, 4096)); err == nil && beside && len(holder) > 0 {
			whose = ", of " + strings.TrimSpace(string(holder))
		}
		return nil, fmt.Errorf("lock data directory: another supervisor%s, works on %s: check data_directory in server.toml, each server has its own", whose, c.Server.DataDirectory)
	}
	if beside { // only for whoever is refused
		_ = f.Truncate(0)
		_, _ = f.WriteAt([]byte(c.Dir+"\n"), 0)
	}
	return func() { _ = f.Close() }, nil
}
