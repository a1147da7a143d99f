package observe

import (
	"errors"
	"os"
	"syscall"
)

func writeAndSync(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("mcctl tries whether this disk still writes\n"), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func isErrno(err error, want syscall.Errno) bool { return errors.Is(err, want) }
