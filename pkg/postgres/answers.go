package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Answers makes a fresh connection to addr ("host:port", or the path of a unix
// socket) and asks for encryption, which PostgreSQL answers with one byte before
// it knows who is asking. That proves that the postmaster accepts and forks, or
// that the kernel does and the postmaster is frozen (no answer until ctx ends), and
// leaves no line in the log unless log_connections is on. It does not prove that a
// session could be had: a server in recovery answers as well.
//
// The question is GSSENCRequest ("Message Formats" in the PostgreSQL manual, 12
// to 18). SSLRequest would do too, but a server that agrees to TLS complains in
// its log when the handshake then stays away.
//
// errors.Is tells syscall.ECONNREFUSED, fs.ErrNotExist (no socket file) and
// context.DeadlineExceeded.
func Answers(ctx context.Context, addr string) error {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return fmt.Errorf("knock at %s: %w", addr, err)
	}
	defer conn.Close()
	// Through AfterFunc a cancelled ctx works like a deadline that has passed.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := askEncryption(conn); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("knock at %s: %w", addr, err)
	}
	return nil
}

func askEncryption(conn net.Conn) error {
	// Length 8 and the code 80877104, big-endian.
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30}); err != nil {
		return err
	}
	var reply [1]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return err
	}
	switch reply[0] {
	case 'G', 'S', 'N':
		return nil
	case 'E':
		return errors.New("the server answered with an error; see its log")
	}
	return fmt.Errorf("answer %q is not PostgreSQL's; check host and port", reply[0])
}
