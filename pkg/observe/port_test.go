package observe

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/wire"
)

func neighbourAt(addr string, every time.Duration) (*Neighbour, *board.Board) {
	b := board.NewBoard()
	return NewNeighbour(Neighbour{Board: b, Addr: addr, Every: every, Timeout: 50 * time.Millisecond}), b
}

func port(b *board.Board, want board.Port) func() bool {
	return func() bool { return b.Read().Port == want }
}

func heard(b *board.Board) { b.Note(func(s *board.Sight) { s.Heard = wire.Now() }) }

func TestThePortOfARealNeighbour(t *testing.T) {
	in := newServer(t)
	n, b := neighbourAt(fmt.Sprintf("127.0.0.1:%d", in.Port), 200*time.Millisecond)
	running(t, n.TryPort) // nothing was ever heard: late from the start
	eventually(t, "a server that is down refuses", port(b, board.PortRefused))
	since := b.Read().PortSince
	if since == 0 || since > wire.Now() {
		t.Errorf("refused since %s", since)
	}
	pid := start(t, in)
	eventually(t, "a running server answers", port(b, board.PortAnswers))
	if b.Read().PortSince <= since {
		t.Error("the answer is not newer than the refusal")
	}
	send(t, pid, syscall.SIGSTOP)
	eventually(t, "a frozen postmaster is silent", port(b, board.PortSilent))
	send(t, pid, syscall.SIGCONT)
	eventually(t, "it answers again", port(b, board.PortAnswers))
	eventually(t, "what the port said is forgotten when the peer is heard", func() bool {
		heard(b)
		return b.Read().Port == board.PortUnknown
	})
	eventually(t, "it is tried again when the peer is late", port(b, board.PortAnswers))
	ok(t, in.Kill(pid))
	eventually(t, "a killed server refuses", port(b, board.PortRefused))
}

// With a long interval nothing but the kick can lead to a try in time.
func TestAGonePeerIsTriedAtOnce(t *testing.T) {
	n, b := neighbourAt(fmt.Sprintf("127.0.0.1:%d", freePort(t)), time.Hour)
	heard(b)
	running(t, n.TryPort)
	b.Note(func(s *board.Sight) { s.Link = wire.LinkState{Refused: true} })
	n.Kick()
	eventually(t, "its port was tried", port(b, board.PortRefused))
}

func TestSilentPorts(t *testing.T) {
	for name, listen := range map[string]func(*testing.T) string{
		"accepted by the kernel only": func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			ok(t, err)
			t.Cleanup(func() { _ = l.Close() })
			return l.Addr().String()
		},
		"not even that": fullBacklog,
	} {
		t.Run(name, func(t *testing.T) {
			n, b := neighbourAt(listen(t), 20*time.Millisecond)
			running(t, n.TryPort)
			eventually(t, "the port is silent", port(b, board.PortSilent))
		})
	}
}

// fullBacklog is an address where connecting itself hangs, as where packets are
// dropped: its queue of one is full.
func fullBacklog(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	ok(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	ok(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	ok(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	ok(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return addr
		}
		ok(t, err)
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}
