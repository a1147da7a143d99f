package wire

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// wakeBatch is how many sockets the kernel names at once.
	wakeBatch = 256
	// From busyCount events in a busyWindow on, the poller pauses between two looks. It
	// then finds dozens at once, and neither it nor the peers on a busy machine are
	// woken for each single one: to wake a process costs as much as several heartbeats.
	// A pair of two servers is far below that: it never waits.
	busyCount  = 80
	busyWindow = 16 * time.Millisecond
	busyPause  = 5 * time.Millisecond
)

// poller watches the parked connections of one Serve. One goroutine waits for all of
// them, and answers their heartbeats.
type poller struct {
	epoll, bell int // the epoll instance, and the eventfd that ends run
	file        *os.File
	ready       syscall.RawConn // file's: waits until epoll has an event

	mu sync.Mutex
	of []*incoming // by descriptor; from before watch until before Close
}

// pace knows whether events come so fast that it is better to let some gather.
type pace struct {
	since time.Time
	count int
	busy  bool
}

// note counts n events that were handled at now, and reports whether to pause.
func (p *pace) note(n int, now time.Time) bool {
	p.count += n
	if took := now.Sub(p.since); took >= busyWindow {
		p.busy = p.count >= busyCount && took < 2*busyWindow
		p.since, p.count = now, 0
	}
	return p.busy && n < wakeBatch // a full batch: more are there already
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &poller{epoll: epoll, bell: bell}
	err = unix.SetNonblock(epoll, true) // else Go would not wait for it
	p.file = os.NewFile(uintptr(epoll), "epoll")
	if err == nil {
		p.ready, err = p.file.SyscallConn()
	}
	if err == nil {
		err = p.control(unix.EPOLL_CTL_ADD, bell, unix.EPOLLIN)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// run gives every connection with something to do its turn, until stop.
func (p *poller) run() {
	events := make([]unix.EpollEvent, wakeBatch)
	for pace := (pace{}); ; {
		// One look at the clock for all of them. It is early rather than late.
		n, at := p.wait(events), Now()
		for _, e := range events[:n] {
			if int(e.Fd) == p.bell {
				return
			}
			// It is there: only the owner takes it out, and that is this goroutine.
			p.find(e.Fd).ready(e.Events, at)
		}
		if pace.note(n, time.Now()) {
			time.Sleep(busyPause)
		}
	}
}

// wait is how many events there are. Go's own poller watches the epoll instance: a
// thread that blocked in epoll_wait would keep the runtime's monitor awake, which
// costs an idle process more than all of its heartbeats.
func (p *poller) wait(events []unix.EpollEvent) (n int) {
	var failed error
	err := p.ready.Read(func(fd uintptr) bool {
		n, failed = unix.EpollWait(int(fd), events, 0)
		if failed == unix.EINTR {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	if err := errors.Join(err, os.NewSyscallError("epoll_wait", failed)); err != nil {
		// The descriptor and the buffer are ours: it cannot fail, and a server that
		// hears nobody any more must not look alive.
		panic("wire: " + err.Error())
	}
	return n
}

func (p *poller) control(op, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, op, fd, &e))
}

func (p *poller) find(fd int32) *incoming {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[fd]
}

func (p *poller) enter(in *incoming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.of) <= in.socket.fd {
		p.of = append(p.of, nil)
	}
	p.of[in.socket.fd] = in
}

func (p *poller) leave(in *incoming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[in.socket.fd] = nil
}

// stop ends run.
func (p *poller) stop() {
	// An eventfd takes eight bytes in the machine's order; any number but 0 rings it.
	_, _ = unix.Write(p.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (p *poller) close() {
	unix.Close(p.bell)
	p.file.Close() // and with it epoll
}
