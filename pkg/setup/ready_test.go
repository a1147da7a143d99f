package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/postgres"
)

// A restart was cut off when it had just asked PostgreSQL to stop, which does not show yet.
func TestAStopThatWasCutOffIsFollowedByAStart(t *testing.T) {
	in := someInstance(t)
	config := filepath.Join(in.Data, "postgresql.conf")
	ok(t, os.WriteFile(config, fmt.Appendf(nil, "listen_addresses = ''\nunix_socket_directories = '%s'\nport = %d\n", in.Socket, in.Port), 0o600))
	pid, err := in.Start(postgres.StartOptions{})
	ok(t, err)
	ok(t, untilReady(t.Context(), in, letInLimit))
	s := quiet(t.TempDir())
	s.state = state{Restarting: true, Plan: Plan{DataDirectory: in.Data, Bin: in.Bin, ConfigFile: config, Socket: in.Socket, Replication: "127.0.0.1:5432", User: in.User, Database: in.Database}}
	ok(t, os.Mkdir(s.path("log"), 0o700))
	ok(t, syscall.Kill(pid, syscall.SIGSTOP))
	ok(t, syscall.Kill(pid, syscall.SIGINT))
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	ok(t, s.ensureRunning(t.Context()))
	now, running := in.Postmaster()
	if !running || now == pid {
		t.Fatalf("the postmaster is %d, running: %t; it was %d", now, running, pid)
	}
	ok(t, in.Stop(context.Background(), now, postgres.Immediate))
}

// someInstance is a new cluster that does not run.
func someInstance(t *testing.T) *postgres.Instance {
	t.Helper()
	bin := os.Getenv("PG_BIN")
	if bin == "" || os.Geteuid() == 0 {
		t.Fatal("PG_BIN must name PostgreSQL's programs, which do not run as root: use make test")
	}
	dir, err := os.MkdirTemp("", "mcready") // sockets need a short path
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	in := &postgres.Instance{Data: filepath.Join(dir, "data"), Bin: bin, LogFile: filepath.Join(dir, "log"), Socket: dir, Port: 5432, User: "postgres", Database: "postgres"}
	ok(t, exec.Command(filepath.Join(bin, "initdb"), "-D", in.Data, "-A", "trust", "-U", "postgres", "--no-sync").Run())
	return in
}

// On a full disk PostgreSQL may start, and turn everybody away; here it is full of clients.
func TestAPostgresThatLetsNobodyIn(t *testing.T) {
	in := someInstance(t)
	pid, err := in.Start(postgres.StartOptions{Settings: map[string]string{
		"listen_addresses": "", "unix_socket_directories": in.Socket, "port": "5432", "max_connections": "1", "superuser_reserved_connections": "0", "max_wal_senders": "0",
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
