package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/board"
	"mcctl/pkg/postgres"
)

const templateVariable = "MCCTL_TEST_TEMPLATE"

// TestMain plays mcctl for the disk's watcher, which starts this program as its
// child, and makes one data directory; each server of a test is a copy of it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case ProbeCommand:
			os.Exit(playProbe(os.Args[2], os.Args[3]))
		case supervisorCommand:
			playSupervisor(os.Args[2])
		}
	}
	os.Exit(withTemplate(m))
}

func withTemplate(m *testing.M) int {
	if os.Geteuid() == 0 {
		return m.Run() // what needs PostgreSQL says so
	}
	dir, err := os.MkdirTemp(root(), "mc")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv(templateVariable, filepath.Join(dir, "t"))
	out, err := exec.Command(filepath.Join(bin(), "initdb"), "--no-sync", "--wal-segsize=1", "-U", "postgres", "-A", "trust", "-D", filepath.Join(dir, "t")).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "initdb: %v; install postgresql-15 or let PG_BIN name the directory of its programs\n%s", err, out)
		return 1
	}
	return m.Run()
}

func bin() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	return "/usr/lib/postgresql/15/bin"
}

// root is where servers live: short enough for unix sockets and, if possible, in
// memory.
func root() string {
	const memory = "/dev/shm"
	if unix.Access(memory, unix.W_OK) == nil {
		return memory
	}
	return "/tmp"
}

// limit bounds every wait of a test.
const limit = time.Minute

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// running runs a watcher until the end of the test.
func running(t *testing.T, watch func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the watcher ended with %v", err)
			}
		case <-time.After(limit):
			t.Error("the watcher does not end")
		}
	})
}

// woken tells whether something was noted since it was asked last.
func woken(b *board.Board) bool {
	select {
	case <-b.Woken():
		return true
	default:
		return false
	}
}

func notRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL refuses to run as root, and root may write everywhere: run the tests with make test")
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newServer is a configured, stopped server.
func newServer(t *testing.T) *postgres.Instance {
	t.Helper()
	notRoot(t)
	dir, err := os.MkdirTemp(root(), "mc")
	ok(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := &postgres.Instance{
		Data: filepath.Join(dir, "d"), Bin: bin(), LogFile: filepath.Join(dir, "log"),
		Socket: dir, Port: freePort(t), User: "postgres", Database: "postgres",
	}
	if out, err := exec.Command("cp", "-a", os.Getenv(templateVariable), in.Data).CombinedOutput(); err != nil {
		t.Fatalf("copy template: %v\n%s", err, out)
	}
	f, err := os.OpenFile(filepath.Join(in.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteString(strings.Join([]string{
		"", fmt.Sprintf("port = %d", in.Port), "listen_addresses = '127.0.0.1'", "unix_socket_directories = '" + in.Socket + "'",
		"restart_after_crash = off", "fsync = off", "dynamic_shared_memory_type = mmap", "shared_buffers = 16MB", "autovacuum = off", "",
	}, "\n"))
	ok(t, err)
	t.Cleanup(func() { stopForGood(t, in) })
	return in
}

// stopForGood lets PostgreSQL end by itself where it can: killed, it leaves shared
// memory behind that nobody frees before the next start.
func stopForGood(t *testing.T, in *postgres.Instance) {
	if t.Failed() {
		b, _ := os.ReadFile(in.LogFile)
		t.Logf("log of %s:\n%s", in.Data, b)
	}
	if pid, running := in.Postmaster(); running {
		_ = syscall.Kill(pid, syscall.SIGCONT) // a test may have frozen it
		ok(t, in.Stop(within(t), pid, postgres.Immediate))
	}
	ok(t, in.KillLeftovers())
	freeMemory(t, in)
}

// freeMemory removes what a killed postmaster left: its lock file names the System V
// segment in its seventh line (src/include/utils/pidfile.h, 13 to 18).
func freeMemory(t *testing.T, in *postgres.Instance) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(in.Data, "postmaster.pid"))
	if err != nil {
		return // it ended in good order
	}
	var key, id int
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 {
		return
	}
	if n, _ := fmt.Sscan(lines[6], &key, &id); n == 2 {
		_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), 0 /* IPC_RMID */, 0)
	}
}

// start starts the server; the rest of a former run may take a moment to go.
func start(t *testing.T, in *postgres.Instance) (pid int) {
	t.Helper()
	eventually(t, "PostgreSQL has started", func() bool {
		_, err := in.Start(postgres.StartOptions{})
		if err == nil {
			err = in.WaitReady(within(t))
		}
		if !errors.Is(err, postgres.ErrStillInUse) {
			ok(t, err)
		}
		return err == nil
	})
	pid, running := in.Postmaster()
	if !running {
		t.Fatal("PostgreSQL ended at once")
	}
	return pid
}

func send(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatal("there is no process to signal")
	}
	ok(t, syscall.Kill(pid, sig))
}
