package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxUnsent is how many bytes of answers wait for a peer that does not read them.
	maxUnsent = 4 * maxFrame
	// reading and sending are what the poller is asked to look for.
	reading uint32 = unix.EPOLLIN | unix.EPOLLRDHUP
	sending uint32 = unix.EPOLLOUT
)

// errWait is what a parked socket's Read says when nothing is there.
var errWait error = waitError{}

// waitError is temporary, so that TLS keeps the half of a record that it has read
// and goes on from there at the next Read.
type waitError struct{}

func (waitError) Error() string   { return "nothing to read yet" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// socket is an accepted connection, or what is below its TLS. It has two lives. Until
// park it is the net.Conn that it was accepted as, and who reads or writes waits.
// From then on nobody waits: Read says errWait, and what Write cannot send at once is
// kept and sent when the poller sees that there is room. So nothing that a peer does
// or leaves undone can hold up a goroutine.
//
// A parked socket has one owner at a time, who alone reads and who alone closes the
// descriptor: the poller while it watches the socket, else the goroutine that
// unwatched it. All others may write and may shut.
type socket struct {
	poller *poller // from park on
	// drained: the last read of this turn got less than it could have. The owner's.
	drained bool

	mu sync.Mutex
	// Conn is nil from park on: nobody asks for addresses or sets deadlines any more.
	net.Conn
	fd      int  // from park on; -1 when closed
	shut    bool // the connection ends: nothing is read or written any more
	watched bool // by the poller
	unsent  []byte
	stall   *time.Timer // ends the connection unless unsent is empty by then
}

func newSocket(conn net.Conn) *socket { return &socket{Conn: conn, fd: -1} }

// park takes the descriptor out of Go's poller, which would spend a wake-up and a
// goroutine's stack on each socket, to be watched by p. The caller becomes its owner.
func (s *socket) park(p *poller) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return net.ErrClosed
	}
	raw, ok := s.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("park connection: a %T is no socket", s.Conn)
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return fmt.Errorf("park connection: %w", err)
	}
	var failed error
	err = control.Control(func(fd uintptr) { s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, os.NewSyscallError("fcntl", failed)); err != nil {
		s.fd = -1
		return fmt.Errorf("park connection: %w", err)
	}
	s.Conn.Close() // the duplicate keeps the connection
	s.Conn, s.poller = nil, p
	return nil
}

// Read reads what is there. It spares the system call that would only find nothing:
// what arrives after a short read is told by the poller.
func (s *socket) Read(b []byte) (int, error) {
	if s.poller == nil {
		return s.Conn.Read(b)
	}
	if s.isShut() {
		return 0, net.ErrClosed
	}
	if s.drained {
		return 0, errWait
	}
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			s.drained = true
			return 0, errWait
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		s.drained = n < len(b)
		return n, nil
	}
}

func (s *socket) isShut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}

// Write sends b or keeps it for later. An error is the connection's end.
func (s *socket) Write(b []byte) (int, error) {
	if s.poller == nil {
		return s.Conn.Write(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return 0, net.ErrClosed
	}
	sent := 0
	if len(s.unsent) == 0 {
		var err error
		if sent, err = s.send(b); err != nil || sent == len(b) {
			return sent, err
		}
	}
	if len(s.unsent)+len(b)-sent > maxUnsent {
		return sent, fmt.Errorf("write: the other side asks and does not read; %d bytes wait for it", len(s.unsent))
	}
	if s.stall == nil {
		s.stall = time.AfterFunc(answerTimeout, s.end)
	}
	s.unsent = append(s.unsent, b[sent:]...)
	return len(b), s.look()
}

// send writes what the kernel takes at once. Called with mu held.
func (s *socket) send(b []byte) (int, error) {
	for {
		n, err := unix.Write(s.fd, b)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// flush sends on what was kept. The owner's, when the poller has seen room.
func (s *socket) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.send(s.unsent)
	if err != nil {
		return err
	}
	if s.unsent = s.unsent[n:]; len(s.unsent) > 0 {
		return nil
	}
	s.unsent = nil
	if s.stall != nil {
		s.stall.Stop()
		s.stall = nil
	}
	return s.look()
}

// look tells the poller what to look for now. Called with mu held.
func (s *socket) look() error {
	if !s.watched {
		return nil
	}
	return s.poller.control(unix.EPOLL_CTL_MOD, s.fd, s.wanted())
}

func (s *socket) wanted() uint32 {
	if len(s.unsent) > 0 {
		return reading | sending
	}
	return reading
}

// watch makes the poller the owner. After it the caller must not touch the
// connection, unless there is an error: then it is still the owner.
func (s *socket) watch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = true
	err := s.poller.control(unix.EPOLL_CTL_ADD, s.fd, s.wanted())
	if err != nil {
		s.watched = false
	}
	return err
}

// begin begins a turn of the poller. With mu it sees all that the owner before it did.
func (s *socket) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = false
}

// unwatch makes the caller the owner; called by the poller's goroutine. A descriptor
// without wanted events would still tell of a hang-up, again and again.
func (s *socket) unwatch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = false
	return s.poller.control(unix.EPOLL_CTL_DEL, s.fd, 0)
}

// end makes the connection end: its owner sees it at once, as if the other side had
// closed it, and closes the descriptor. Anybody may call it.
func (s *socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	switch {
	case s.Conn != nil:
		s.Conn.Close()
	case s.fd >= 0:
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // fails if the other side was first
	}
}

// Close ends the connection and frees its descriptor. Only the owner may call it.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	if s.Conn != nil {
		return s.Conn.Close()
	}
	if s.stall != nil {
		s.stall.Stop()
	}
	s.unsent = nil
	if s.fd < 0 {
		return nil
	}
	if s.watched {
		// close does not do it while a process that is being started has a copy.
		_ = s.poller.control(unix.EPOLL_CTL_DEL, s.fd, 0)
	}
	fd := s.fd
	s.fd = -1 // from here on it may be another connection's
	return os.NewSyscallError("close", unix.Close(fd))
}
