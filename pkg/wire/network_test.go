package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/record"
)

// asServer, when set to "address directory", makes the test binary a process that
// serves as server2 with the certificates in that directory.
const asServer = "WIRE_TEST_SERVES"

func TestMain(m *testing.M) {
	if where := os.Getenv(asServer); where != "" {
		addr, dir, _ := strings.Cut(where, " ")
		fmt.Fprintln(os.Stderr, serveChild(addr, dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serveChild(addr, dir string) error {
	p, err := LoadTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server2.crt"), filepath.Join(dir, "server2.key"))
	if err != nil {
		return err
	}
	ln, err := ListenTLS(addr, p.Server)
	if err != nil {
		return err
	}
	return Serve(context.Background(), ln, newHost())
}

// host is a handler that answers what it was asked and remembers what it heard.
type host struct {
	mu     sync.Mutex
	events []string
	news   bool
	beat   chan Identity // told of every heartbeat, if somebody listens
	gone   chan Identity
	block  chan struct{} // "wait" returns when it is closed
}

func newHost() *host {
	return &host{beat: make(chan Identity, 1000), gone: make(chan Identity, 1000), block: make(chan struct{})}
}

func (h *host) Handle(ctx context.Context, from Identity, kind string, body json.RawMessage) (any, error) {
	h.mu.Lock()
	h.events = append(h.events, kind+string(body))
	h.mu.Unlock()
	switch kind {
	case "who":
		return from, nil
	case "conflict":
		return nil, fmt.Errorf("change: %w", record.ErrConflict)
	case "refuse":
		return nil, fmt.Errorf("%w: not today", ErrRefused)
	case "lost":
		return nil, fmt.Errorf("asked the next one: %w", ErrNoAnswer)
	case "break":
		return nil, fmt.Errorf("disk on fire")
	case "nothing":
		return nil, nil
	case "huge":
		return strings.Repeat("x", maxFrame), nil
	case "wait":
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-h.block:
			return "waited", nil
		}
	}
	return body, nil
}

func (h *host) Gone(from Identity) { offer(h.gone, from) }

func (h *host) Beat(from Identity, _ time.Duration) bool {
	offer(h.beat, from)
	h.mu.Lock()
	defer h.mu.Unlock()
	news := h.news
	h.news = false
	return news
}

func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

// network is an authority with certificates for the pair "lab": two servers.
type network struct{ ca, dir string }

func newNetwork(t testing.TB) network {
	t.Helper()
	n := network{ca: filepath.Join(t.TempDir(), "ca"), dir: filepath.Join(t.TempDir(), "tls")}
	must(t, NewCA(n.ca))
	must(t, NewCertificate(n.ca, "lab", "server1", n.dir))
	must(t, NewCertificate(n.ca, "lab", "server2", n.dir))
	return n
}

func (n network) load(t testing.TB, name string) *TLSPair {
	t.Helper()
	p, err := LoadTLS(filepath.Join(n.dir, "ca.crt"), filepath.Join(n.dir, name+".crt"), filepath.Join(n.dir, name+".key"))
	must(t, err)
	return p
}

// serve runs h as server2 in this process and gives the address.
func (n network) serve(t testing.TB, h Handler) string {
	t.Helper()
	ln, err := ListenTLS("127.0.0.1:0", n.load(t, "server2").Server)
	must(t, err)
	background(t, func(ctx context.Context) error { return Serve(ctx, ln, h) })
	return ln.Addr().String()
}

// child starts a process that serves as server2 on addr.
func (n network) child(t testing.TB, addr string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"="+addr+" "+n.dir)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// freeze returns when all threads of the process stand still: the signal alone may be on
// its way to them, and it still answers.
func freeze(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WSTOPPED, nil)
	}
	must(t, err)
}

func (n network) dial(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), "tcp", addr, n.load(t, "server1").Client("server2"))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// background runs f until the test ends and expects nil of it.
func background(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it did not end with its context")
		}
	})
}

func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within waits for a condition and tells how long it took.
func within(t testing.TB, limit time.Duration, what string, met func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(time.Millisecond / 2)
	}
	return time.Since(start)
}
