package witness

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// floorRest is how long the floor rests between two looks.
const floorRest = time.Millisecond

// floorOf is how many microseconds of CPU the kernel alone takes for a heartbeat: a
// loop around epoll, read and, for one of four, write, over as many connections that
// carry as many bytes, without TLS and without a witness.
func floorOf(b *testing.B, pairs int, during time.Duration) float64 {
	b.Helper()
	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(b, err)
	must(b, unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(b, unix.Listen(ln, 4096))
	name, err := unix.Getsockname(ln)
	must(b, err)
	f := &floor{count: &counted{}, fds: make([]int, 2*pairs)}
	f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(b, err)
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	_, stop := crowd{addr: addr, pairs: pairs, ca: plain}.start(b)
	for i := range f.fds {
		f.fds[i], _, err = unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		must(b, err)
		must(b, unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, f.fds[i], &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(f.fds[i])}))
	}
	ended := make(chan error)
	go func() { ended <- f.run() }()
	time.Sleep(time.Second)
	begin := f.count.usage()
	time.Sleep(during)
	used := f.count.usage().since(begin)
	stop() // every connection then reads its end
	must(b, <-ended)
	must(b, unix.Close(f.epoll))
	must(b, unix.Close(ln))
	return used.perBeat()
}

type floor struct {
	epoll int
	fds   []int
	count *counted
}

// run reads until all connections have ended. It rests between two looks for as long
// as the witness does.
func (f *floor) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events, beat := make([]unix.EpollEvent, 256), make([]byte, 4096)
	for left := len(f.fds); left > 0; {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			n, err := unix.Read(int(e.Fd), beat)
			switch {
			case n == 0 || err == unix.ECONNRESET:
				left--
				if err := unix.Close(int(e.Fd)); err != nil {
					return err
				}
				continue
			case err != nil:
				return err
			case beat[0] == plainAsks:
				// A connection that has ended meanwhile says so at its next read.
				if _, err := unix.Write(int(e.Fd), beat[:plainBeat]); err != nil && err != unix.EPIPE && err != unix.ECONNRESET {
					return err
				}
			}
			f.count.beats.Add(int64(n / plainBeat))
		}
		rest := syscall.NsecToTimespec(int64(floorRest))
		_ = syscall.Nanosleep(&rest, nil)
	}
	return nil
}
