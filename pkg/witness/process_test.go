package witness

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// asWitness, when set to "address records tls timeout", makes the test binary a witness.
const asWitness = "WITNESS_TEST_SERVES"

const (
	// forgiving is the heartbeat timeout of a witness whose servers must not be taken for
	// silent; its end is not waited for.
	forgiving = time.Minute
	// waitedFor is that of one for whose end a test waits. It is longer than a busy machine
	// holds a process up.
	waitedFor = 4 * time.Second
)

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(asWitness)); len(args) == 4 {
		fmt.Fprintln(os.Stderr, witnessChild(args[0], args[1], args[2], args[3]))
		os.Exit(1)
	}
	if args := os.Getenv(asLoad); args != "" {
		fmt.Fprintln(os.Stderr, loadChild(args))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func witnessChild(addr, records, dir, timeout string) error {
	p, err := loadTLS(dir, "arbiter")
	if err != nil {
		return err
	}
	silence, err := time.ParseDuration(timeout)
	if err != nil {
		return err
	}
	w, err := New(Config{Records: records, HeartbeatTimeout: silence, Log: slog.New(slog.DiscardHandler)})
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

// host is a place for one witness process and the certificates of who talks to it.
type host struct {
	addr, ca, records string
	timeout           time.Duration // of its servers' heartbeats
	cmd               *exec.Cmd
}

func newHost(t *testing.T) *host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	h := &host{addr: ln.Addr().String(), ca: filepath.Join(t.TempDir(), "ca"), records: filepath.Join(t.TempDir(), "records"), timeout: forgiving}
	must(t, wire.NewCA(h.ca))
	must(t, wire.NewCertificate(h.ca, "", "arbiter", h.tls("arbiter")))
	return h
}

func (h *host) tls(pairName string) string { return filepath.Join(filepath.Dir(h.ca), "tls-"+pairName) }

// start runs the witness as a process of its own.
func (h *host) start(t *testing.T) {
	t.Helper()
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), asWitness+"="+h.addr+" "+h.records+" "+h.tls("arbiter")+" "+h.timeout.String())
	h.cmd.Stderr = os.Stderr
	must(t, h.cmd.Start())
	t.Cleanup(h.kill)
}

// kill ends the witness as kill -9 does.
func (h *host) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// server is a server of a pair, seen from the witness: a connection and what it says.
type server struct {
	*wire.Conn
	t    *testing.T
	name pair.Server
}

// connect comes in as name of a pair, trying until the witness listens.
func (h *host) connect(t *testing.T, pairName, name string) *server {
	t.Helper()
	dir := h.tls(pairName)
	if _, err := os.Stat(filepath.Join(dir, name+".crt")); err != nil {
		must(t, wire.NewCertificate(h.ca, pairName, name, dir))
	}
	p, err := loadTLS(dir, name)
	must(t, err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := wire.Dial(t.Context(), "tcp", h.addr, p.Client("arbiter"))
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			return &server{Conn: conn, t: t, name: pair.Server(name)}
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (s *server) report(postgres string, own record.Record) wire.WitnessView {
	s.t.Helper()
	var v wire.WitnessView
	must(s.t, s.Call(s.t.Context(), wire.KindReport, wire.WitnessReport{Postgres: postgres, Known: own}, &v))
	return v
}

func (s *server) read() record.Record {
	s.t.Helper()
	var r record.Record
	must(s.t, s.Call(s.t.Context(), wire.KindRead, nil, &r))
	return r
}

func (s *server) change(tr record.Transition, to pair.Server, from record.Revision) (r record.Record, err error) {
	c := record.Change{Transition: tr, By: s.name, To: to, From: from}
	return r, s.Call(s.t.Context(), wire.KindChange, wire.ChangeRequest{Change: c}, &r)
}

// keepSaying has s report every 50 ms until the test ends or the returned func is called.
func (s *server) keepSaying(postgres string, own record.Record) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = s.Call(ctx, wire.KindReport, wire.WitnessReport{Postgres: postgres, Known: own}, nil)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
