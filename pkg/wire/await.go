package wire

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// awaitBytes returns when conn has something to read, or has ended; it reads nothing.
// Closing conn ends it early.
func awaitBytes(conn net.Conn, limit time.Duration) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("wait for bytes: the connection is no socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	peek := make([]byte, 1)
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), peek, unix.MSG_PEEK)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return errors.Join(err, conn.SetReadDeadline(time.Time{}))
}
