package postgres

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// WatchExit closes the channel when the process ends, told by the kernel through
// a pidfd (Linux 5.3) without delay and also for processes that are not our
// children. A process that is gone or a zombie counts as ended. The function ends
// the watch and waits for its goroutine; call it once the channel is of no more
// interest, also after it was closed.
func WatchExit(pid int) (<-chan struct{}, func(), error) {
	exited := make(chan struct{})
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		close(exited)
		return exited, func() {}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	wake, stop, err := os.Pipe()
	if err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		defer wake.Close()
		if pollFirst(fd, int(wake.Fd())) == fd {
			close(exited)
		}
	}()
	var once sync.Once
	return exited, func() {
		once.Do(func() { stop.Close() })
		<-done
	}, nil
}

// pollFirst returns the descriptor that becomes ready first; a prefers itself.
func pollFirst(a, b int) int {
	fds := []unix.PollFd{{Fd: int32(a), Events: unix.POLLIN}, {Fd: int32(b), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return b // cannot be with two open descriptors; better no news than false news
		}
		for _, f := range fds {
			if f.Revents != 0 {
				return int(f.Fd)
			}
		}
	}
}
