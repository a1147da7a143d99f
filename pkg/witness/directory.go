package witness

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"mcctl/pkg/durable"
)

// directory is a directory of this machine's file system.
type directory struct{ durable.Disk }

func (directory) Open(dir string) (files []string, unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make directory of records: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("list records: %w", err), lock.Close())
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files, lock.Close, nil
}

// lockDir keeps a second witness away from the same records: two could both say yes.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory of records: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another witness is using it; stop that one first")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock directory of records %s: %w", dir, err), f.Close())
	}
	return f, nil
}
