package setup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/postgres"
)

// On a full disk PostgreSQL may start, and turn everybody away; here it is full of clients.
func TestAPostgresThatLetsNobodyIn(t *testing.T) {
	bin := os.Getenv("PG_BIN")
	if bin == "" || os.Geteuid() == 0 {
		t.Fatal("PG_BIN must name PostgreSQL's programs, which do not run as root: use make test")
	}
	dir, err := os.MkdirTemp("", "mcready") // sockets need a short path
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	in := &postgres.Instance{Data: filepath.Join(dir, "data"), Bin: bin, LogFile: filepath.Join(dir, "log"), Socket: dir, Port: 5432, User: "postgres", Database: "postgres"}
	ok(t, exec.Command(filepath.Join(bin, "initdb"), "-D", in.Data, "-A", "trust", "-U", "postgres", "--no-sync").Run())
	pid, err := in.Start(postgres.StartOptions{Settings: map[string]string{
		"listen_addresses": "", "unix_socket_directories": dir, "port": "5432", "max_connections": "1", "superuser_reserved_connections": "0", "max_wal_senders": "0",
	}})
	ok(t, err)
	t.Cleanup(func() { ok(t, in.Stop(context.Background(), pid, postgres.Immediate)) })
	ok(t, untilReady(t.Context(), in, letInLimit))
	session, err := in.Connect(t.Context())
	for end := time.Now().Add(letInLimit); err != nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		session, err = in.Connect(t.Context()) // the one that asked before is just leaving
	}
	ok(t, err)
	err = untilReady(t.Context(), in, time.Second)
	if !errors.Is(err, errKeptOut) || !strings.HasPrefix(err.Error(), "wait for PostgreSQL: it runs, and lets nobody in\n") || !strings.Contains(err.Error(), "too many clients already") {
		t.Errorf("got %v", err)
	}
	session.Close()
	ok(t, untilReady(t.Context(), in, letInLimit))
}
