package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systemd listens where a service notifies.
func systemd(t *testing.T, address string, watchdog time.Duration) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
	return l
}

// told is everything that was said; datagrams on one machine have arrived when
// they are sent.
func told(t *testing.T, l *net.UnixConn) (all []string) {
	t.Helper()
	for {
		ok(t, l.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		var b [64]byte
		n, err := l.Read(b[:])
		if err != nil {
			return all
		}
		all = append(all, string(b[:n]))
	}
}

func same(got []string, want ...string) bool { return slices.Equal(got, want) }

func TestSystemdHearsOfReadinessOnceAndOfLifeAtItsPace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for name, address := range map[string]string{"path": path, "abstract": "@mcctl-test-" + strconv.Itoa(os.Getpid())} {
		t.Run(name, func(t *testing.T) {
			l := systemd(t, address, 3*time.Hour)
			n := newNotifier()
			for _, variable := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
				if _, there := os.LookupEnv(variable); there {
					t.Errorf("%s is left to children", variable)
				}
			}
			n.turn(false)
			if got := told(t, l); !same(got, "EXTEND_TIMEOUT_USEC=10800000000", "WATCHDOG=1") {
				t.Errorf("not ready yet: %q", got)
			}
			for range 100 {
				n.turn(true)
				n.turn(false)
			}
			if got := told(t, l); !same(got, "READY=1") {
				t.Errorf("ready: %q", got)
			}
			n.last -= time.Hour // as if one had passed
			n.turn(true)
			n.turn(true)
			if got := told(t, l); !same(got, "WATCHDOG=1") {
				t.Errorf("an interval later: %q", got)
			}
		})
	}
}

func TestTheWatchdogIsFedThreeTimesAnInterval(t *testing.T) {
	l := systemd(t, filepath.Join(t.TempDir(), "notify"), 3*time.Second)
	n := newNotifier()
	if n.every != time.Second {
		t.Errorf("every %s", n.every)
	}
	n.turn(false)
	if got := told(t, l); !same(got, "EXTEND_TIMEOUT_USEC=3000000", "WATCHDOG=1") {
		t.Errorf("not ready yet: %q", got)
	}
}

// Somebody else's watchdog is not fed, but the limit of the start is this supervisor's.
func TestAStartWithoutAWatchdogPutsItsLimitOff(t *testing.T) {
	l := systemd(t, filepath.Join(t.TempDir(), "notify"), 3*time.Second)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()+1))
	n := newNotifier()
	n.turn(false)
	n.turn(false)
	if got := told(t, l); !same(got, "EXTEND_TIMEOUT_USEC=9999999") {
		t.Errorf("not ready yet: %q", got)
	}
	n.turn(true)
	n.last -= time.Hour // as if one had passed
	n.turn(true)
	if got := told(t, l); !same(got, "READY=1") {
		t.Errorf("ready: %q", got)
	}
}

// A supervisor that can open nothing more lives all the same, and says so; a systemd
// that was started anew is told at its new socket.
func TestASignOfLifeTakesNoNewDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l := systemd(t, path, 3*time.Hour)
	n := newNotifier()
	n.turn(true)
	n.every = time.Nanosecond
	ok(t, os.Remove(path)) // nobody can connect any more
	n.turn(true)
	if got := told(t, l); !same(got, "READY=1", "WATCHDOG=1", "WATCHDOG=1") {
		t.Errorf("without another connection: %q", got)
	}
	ok(t, l.Close())
	l = systemd(t, path, 3*time.Hour)
	n.turn(true)
	if got := told(t, l); !same(got, "WATCHDOG=1") {
		t.Errorf("at the new socket: %q", got)
	}
}

// silent fills the queue of a systemd that reads nothing, and says how full it is.
func silent(t *testing.T, path string) (queued int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	ok(t, err)
	defer func() { _ = unix.Close(fd) }()
	ok(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	for ; ; queued++ {
		if _, err := unix.Write(fd, []byte("noise")); errors.Is(err, unix.EAGAIN) {
			return queued
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// promptly ends the test when the loop would stand still.
func promptly(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	received(t, done)
}

// A systemd that is frozen, or hangs on a failed disk, reads nothing. The loop goes on, and
// once it reads again it hears what it must hear once, as well as that the supervisor lives.
func TestASystemdThatReadsNothingHoldsNothingUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l := systemd(t, path, 3*time.Hour)
	n := newNotifier()
	noise := silent(t, path)
	read := func() []string { return told(t, l)[noise:] }
	turns := func() {
		n.turn(false)
		n.turn(true)
		n.turn(true)
	}
	promptly(t, turns)
	if got := read(); len(got) != 0 {
		t.Errorf("there was no room for %q", got)
	}
	turns()
	if got := told(t, l); !same(got, "READY=1", "WATCHDOG=1") {
		t.Errorf("of the start: %q", got)
	}
	silent(t, path)
	promptly(t, func() {
		for range 3 {
			n.reloading(turns)
		}
	})
	_ = read()
	turns()
	if got := told(t, l); len(got) != 2 || !strings.HasPrefix(got[0], "RELOADING=1\nMONOTONIC_USEC=") || got[1] != "READY=1" {
		t.Errorf("of three reloads: %q", got)
	}
}

func TestReloadsSpeakBesideTheLoop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l := systemd(t, path, 3*time.Hour)
	n := newNotifier()
	n.turn(true)
	n.every = time.Nanosecond
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for range 100 {
			n.reloading(func() {})
		}
	}()
	for range 100 {
		n.turn(true)
	}
	received(t, reloads)
	_ = told(t, l)
	n.every = time.Hour
	n.turn(true)
	if len(n.unsaid) != 0 {
		t.Errorf("it was not told %q", n.unsaid)
	}
}

func TestWithoutSystemdNothingIsSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := newNotifier()
	n.turn(true)
	if n.ready {
		t.Error("it was told to nobody")
	}
	n = &notifier{socket: filepath.Join(t.TempDir(), "gone")}
	n.turn(true) // a socket that has gone is no reason to stop supervising
}
