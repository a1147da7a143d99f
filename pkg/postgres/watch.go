package postgres

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

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
	done, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		defer wake.Close()
		if pollFirst(fd, int(wake.Fd()), quit) == fd {
			close(exited)
		}
	}()
	var once sync.Once
	return exited, func() {
		once.Do(func() { close(quit); stop.Close() })
		<-done
	}, nil
}

// pollAgain is the pause after a poll that was refused.
const pollAgain = 20 * time.Millisecond

// pollFirst returns the descriptor that becomes ready first; a prefers itself. A poll that a
// signal has interrupted begins anew, and may be refused then for want of memory, or by a
// limit of descriptors that was lowered below two (ENOMEM, EINVAL: poll(2)). That passes, and
// whoever waits must not lose sight of the process by it.
func pollFirst(a, b int, quit <-chan struct{}) int {
	fds := []unix.PollFd{{Fd: int32(a), Events: unix.POLLIN}, {Fd: int32(b), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			select {
			case <-quit:
				return b
			case <-time.After(pollAgain):
				continue
			}
		}
		for _, f := range fds {
			if f.Revents != 0 {
				return int(f.Fd)
			}
		}
	}
}
