package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/observe"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// TestMain plays a supervisor that holds its lock, for the test that kills it, and the
// child that looks at this server.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == holderCommand {
		if err := playHolder(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == observe.LookCommand {
		playLooker(os.Args[2])
	}
	os.Exit(m.Run())
}

// limit bounds every wait of a test.
const limit = 20 * time.Second

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// received is the next value of a channel.
func received[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(limit):
		t.Fatal("nothing came over the channel")
		panic("not reached")
	}
}

// mcdir is a management directory for server1 of the pair p, without an arbiter
// and with certificates by the authority in the directory ca.
func mcdir(t *testing.T) (c *config.Config, ca string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mc") // its socket's path must be short
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ca = filepath.Join(dir, "ca")
	ok(t, wire.NewCA(ca))
	ok(t, wire.NewCertificate(ca, "p", "server1", filepath.Join(dir, "tls")))
	d := config.Defaults()
	d.Dir = dir
	d.Pair.Name, d.Pair.Arbiter.Kind = "p", config.None
	d.Pair.Servers = map[string]config.Endpoint{}
	free := freeAddresses(t, 6)
	for i, name := range []string{"server1", "server2"} {
		d.Pair.Servers[name] = config.Endpoint{Admin: free[3*i], Replication: free[3*i+1], Client: free[3*i+2]}
	}
	d.Server.Name, d.Server.DataDirectory, d.Server.ConfigFile = "server1", filepath.Join(dir, "data"), filepath.Join(dir, "data", "postgresql.conf")
	d.Server.TLS = config.TLS{CA: d.Path("tls", "ca.crt"), Certificate: d.Path("tls", "server1.crt"), Key: d.Path("tls", "server1.key")}
	for _, sub := range []string{"run", "log"} {
		ok(t, os.Mkdir(d.Path(sub), 0o700))
	}
	return &d, ca
}

// freeAddresses are taken until all are known: one that was given back may come again.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		defer func() { _ = l.Close() }()
		all = append(all, l.Addr().String())
	}
	return all
}

// newAgent is a supervisor put together but not running: its group is there for
// what the test starts.
func newAgent(t *testing.T, c *config.Config) *Agent {
	t.Helper()
	a, err := assemble(Options{Config: c, Log: slog.New(slog.DiscardHandler), Version: "test"})
	ok(t, err)
	a.group.start(context.Background())
	t.Cleanup(func() {
		a.group.stop(errDone)
		if err := a.part(); err != nil {
			t.Error(err)
		}
		a.journal.close()
	})
	return a
}

// someAgent is a supervisor of server1 for tests that need no more than that.
func someAgent(t *testing.T) *Agent {
	t.Helper()
	c, _ := mcdir(t)
	return newAgent(t, c)
}

func rec(term pair.Term, rev record.Revision, primary pair.Server, mode pair.Mode) record.Record {
	return record.Record{Pair: "p", Term: term, Primary: primary, Mode: mode, Revision: rev}
}

func body(v any) json.RawMessage { return mustJSON(v) }
