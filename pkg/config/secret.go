package config

import (
	"io/fs"
	"os"
	"syscall"

	"mcctl/pkg/shell"
)

// secret complains when others can read the file, or when another user could
// exchange it. A file that is not there yet is no problem of the configuration.
// Root is not measured by the owner: refusing to run as root is the command's part.
func (s *source) secret(key, path string) {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return
	}
	if mode := info.Mode(); mode&fs.ModeType == 0 && mode.Perm()&0o077 != 0 {
		s.complain(key, "%s has mode %04o and can be read by others; run: chmod 600 %s", path, mode.Perm(), shell.Word(path))
	}
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); os.Geteuid() != 0 && owner != os.Geteuid() {
		s.complain(key, "%s belongs to user %d, not to %d who runs this; run as that user, or: chown %d %s", path, owner, os.Geteuid(), os.Geteuid(), shell.Word(path))
	}
}
