package arbiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/pkg/witness"
)

// asWitness, when set to "address records tls", makes the test binary a witness.
const asWitness = "ARBITER_TEST_SERVES"

const (
	interval = 20 * time.Millisecond
	// No test waits for the end of timeout; shortTimeout is for those that do. A busy
	// machine may hold a process up for longer than the short one.
	timeout      = time.Minute
	shortTimeout = 300 * time.Millisecond
	// patience is far above what anything takes, also where the machine is busy.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(asWitness)); len(args) == 3 {
		fmt.Fprintln(os.Stderr, witnessChild(args[0], args[1], args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func witnessChild(addr, records, dir string) error {
	p, err := loadTLS(dir, "arbiter")
	if err != nil {
		return err
	}
	w, err := witness.New(witness.Config{Records: records, HeartbeatTimeout: timeout, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ln, err := wire.ListenTLS(addr, p.Server)
	if err != nil {
		return err
	}
	return w.Run(context.Background(), ln)
}

func loadTLS(dir, name string) (*wire.TLSPair, error) {
	return wire.LoadTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
}

// host runs one witness process at a time and keeps its records.
type host struct {
	addr, tls, records string
	timeout            time.Duration // of the members' links
	cmd                *exec.Cmd
}

func newHost(t *testing.T) *host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	h := &host{addr: ln.Addr().String(), tls: t.TempDir(), records: t.TempDir(), timeout: timeout}
	ca := filepath.Join(t.TempDir(), "ca")
	must(t, wire.NewCA(ca))
	for _, name := range []string{"arbiter", "server1", "server2"} {
		must(t, wire.NewCertificate(ca, "lab", name, h.tls))
	}
	return h
}

func (h *host) start(t *testing.T) {
	t.Helper()
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), asWitness+"="+h.addr+" "+h.records+" "+h.tls)
	h.cmd.Stderr = os.Stderr
	must(t, h.cmd.Start())
	t.Cleanup(h.kill)
}

func (h *host) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// freeze returns when all threads of the process stand still: the signal alone may be on
// its way to them, and it still answers.
func freeze(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(cmd.Process.Pid, nil, syscall.WUNTRACED, nil)
	}
	must(t, err)
}

// member is a server with its keeper; what it reports can be changed.
type member struct {
	Keeper
	t    *testing.T
	stop func()

	mu     sync.Mutex
	report wire.WitnessReport
}

func (h *host) member(t *testing.T, name string, own record.Record) *member {
	t.Helper()
	p, err := loadTLS(h.tls, name)
	must(t, err)
	m := &member{t: t, report: wire.WitnessReport{Postgres: wire.WitnessUp, Known: own}}
	get := func() wire.WitnessReport {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.report
	}
	link := wire.LinkConfig{Addr: h.addr, TLS: p.Client("arbiter"), Interval: interval, Timeout: h.timeout}
	m.Keeper = NewWitness(func(c wire.LinkConfig) Link { return wire.NewLink(c) }, clock.Machine, link, get, func() {})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

// say changes what the server reports and kicks.
func (m *member) say(postgres string) {
	m.mu.Lock()
	m.report.Postgres = postgres
	m.mu.Unlock()
	m.Kick()
}

// until waits for something the keeper shall show.
func (m *member) until(what string, met func() bool) time.Duration {
	m.t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > patience {
			r, age, reachable := m.Seen()
			m.t.Fatalf("not seen: %s; instead %v, %v old, reachable %v, problem %q", what, r, age, reachable, m.Problem())
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func (m *member) sees(met func(record.Record) bool) func() bool {
	return func() bool {
		r, _, reachable := m.Seen()
		return reachable && met(r)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
