package wire

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// helloHead is what is in front of a TLS record: its type, version and length.
	helloHead = 5
	// helloType is the type of the records of a handshake.
	helloType = 22
	// maxHello is how long a record can be.
	maxHello = 1 << 14
)

var errNoHello = errors.New("what connects does not speak TLS")

// awaitHello returns when the first record of a handshake has arrived at conn as a
// whole; it reads nothing. Closing conn ends it early.
func awaitHello(conn net.Conn, limit time.Duration) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("wait for a handshake: the connection is no socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	var failed error
	head := make([]byte, helloHead)
	err = raw.Read(func(fd uintptr) (done bool) {
		done, failed = helloThere(int(fd), head)
		return done
	})
	return errors.Join(err, failed, conn.SetReadDeadline(time.Time{}))
}

// helloThere reports whether fd has the whole record, or never will.
func helloThere(fd int, head []byte) (bool, error) {
	n, _, err := unix.Recvfrom(fd, head, unix.MSG_PEEK)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false, nil
	case err != nil || n == 0 || head[0] != helloType:
		return true, errors.Join(err, errNoHello)
	case n < helloHead:
		return false, nil
	}
	size := int(binary.BigEndian.Uint16(head[3:]))
	if size > maxHello {
		return true, errNoHello
	}
	arrived, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return err != nil || arrived >= helloHead+size, err
}
