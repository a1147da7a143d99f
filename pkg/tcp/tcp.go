// Package tcp sets what net cannot: how a connection notices that the other host has gone.
package tcp

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout bounds how long sent data may stay unacknowledged (tcp(7)).
func SetUserTimeout(c syscall.RawConn, d time.Duration) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", failed)
}

// DropUnsent has a connection drop, when it is closed, what the other host has not taken yet.
// The kernel would go on sending it, and the other host might act on it when nobody counts
// on that any more (SO_LINGER in socket(7)).
func DropUnsent(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt SO_LINGER", failed)
}
