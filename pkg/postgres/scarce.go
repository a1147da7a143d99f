package postgres

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// Scarce tells of an error that speaks of this process or machine and not of what was
// asked: no descriptor, no memory, no process is left. Nothing may be concluded from it.
func Scarce(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.ENOBUFS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// scarcePause is how long to wait for others to let go of what is scarce.
const scarcePause = 20 * time.Millisecond

// readPatiently reads a file whose absence would be taken for a server's. While
// descriptors are scarce it waits: no answer is better than a wrong one.
func readPatiently(path string) ([]byte, error) {
	for {
		b, err := os.ReadFile(path)
		if !Scarce(err) {
			return b, err
		}
		time.Sleep(scarcePause)
	}
}
