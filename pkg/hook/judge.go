package hook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mcctl/pkg/shell"
)

// Judge tells why a file may not be a command; nil if it may. It runs with the
// rights of the supervisor, so nobody else may be able to write it or to put another
// in its place: it must belong to root or to the user who asks and be open to no
// others, and so must every directory on the way to it (judgeWay). It is asked when
// the configuration is read and again before every run. Root is not measured by the
// owner: it may start nothing anyhow.
func Judge(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("%s cannot be found: %w", path, cause(err))
	}
	info, err := os.Stat(real)
	if err != nil {
		return fmt.Errorf("%s cannot be looked at: %w", path, cause(err))
	}
	owner := ownerOf(info)
	switch perm := info.Mode().Perm(); {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file; name a program or a script, without arguments", path)
	case perm&0o022 != 0:
		return fmt.Errorf("%s has mode %04o and can be written by others; run: chmod go-w %s", path, perm, shell.Word(real))
	case foreign(owner, os.Geteuid()):
		return fmt.Errorf("%s belongs to user %d, neither to root nor to %d who runs this; run: chown %d %s", path, owner, os.Geteuid(), os.Geteuid(), shell.Word(real))
	case perm&0o111 == 0 || unix.Access(real, unix.X_OK) != nil:
		return fmt.Errorf("%s cannot be executed (mode %04o); run: chmod u+x %s", path, perm, shell.Word(real))
	}
	return judgeWay(path, os.Geteuid())
}

// cause is what the system said, without the path, which stands there already.
func cause(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
