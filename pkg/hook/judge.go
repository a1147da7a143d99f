package hook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Judge tells why a file may not be a command; nil if it may. It runs with the
// rights of the supervisor, so nobody else may be able to write it: a command must
// belong to root or to the user who asks, and neither it nor a directory above it
// may be open to others. It is asked when the configuration is read and again
// before every run. Root is not measured by the owner: it may start nothing anyhow.
func Judge(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("%s cannot be found: %w", path, cause(err))
	}
	info, err := os.Stat(real)
	if err != nil {
		return fmt.Errorf("%s cannot be looked at: %w", path, cause(err))
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch perm := info.Mode().Perm(); {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file; name a program or a script, without arguments", path)
	case perm&0o022 != 0:
		return fmt.Errorf("%s has mode %04o and can be written by others; run: chmod go-w %s", path, perm, real)
	case os.Geteuid() != 0 && owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, neither to root nor to %d who runs this; run: chown %d %s", path, owner, os.Geteuid(), os.Geteuid(), real)
	case perm&0o111 == 0 || unix.Access(real, unix.X_OK) != nil:
		return fmt.Errorf("%s cannot be executed (mode %04o); run: chmod u+x %s", path, perm, real)
	}
	return judgeDirectories(filepath.Dir(real))
}

// judgeDirectories refuses a directory in which anybody could put another file in
// the command's place. In a sticky one, such as /tmp, only the owner of a file can.
func judgeDirectories(dir string) error {
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("%s cannot be looked at: %w", dir, cause(err))
		}
		if perm := info.Mode().Perm(); perm&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
			return fmt.Errorf("everybody can exchange it, since directory %s has mode %04o; run: chmod o-w %s", dir, perm, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// cause is what the system said, without the path, which stands there already.
func cause(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
