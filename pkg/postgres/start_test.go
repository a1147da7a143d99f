package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestVersion(t *testing.T) {
	in := newServer(t)
	major, err := in.Version(within(t))
	ok(t, err)
	if major < 13 {
		t.Errorf("version %d", major)
	}
	ok(t, os.WriteFile(filepath.Join(in.Data, "PG_VERSION"), []byte("12\n"), 0o600))
	if _, err := in.Version(within(t)); err == nil || !strings.Contains(err.Error(), "programs") {
		t.Errorf("a data directory of another major: %v", err)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1":                          18, "postgres (PostgreSQL) 17": 17, "mysqld 8": 0, "": 0,
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("parseVersion(%q) = %d, want %d", text, got, want)
		}
	}
}

// Who gives up a start stops the server next, and must find it.
func TestAStartThatIsNotWaitedForIsFound(t *testing.T) {
	in := newServer(t)
	pid, err := in.Start(StartOptions{})
	ok(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.WaitReady(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ready: %v", err)
	}
	if found, running := in.Postmaster(); !running || found != pid {
		t.Errorf("%d was started, and %d is found, running %v", pid, found, running)
		ok(t, syscall.Kill(pid, syscall.SIGKILL)) // nothing else would end it
	}
	ok(t, in.Stop(within(t), pid, Fast))
}

func TestStartAndStop(t *testing.T) {
	in := newServer(t)
	if pid, running := in.Postmaster(); running {
		t.Fatalf("nothing started, but %d is the postmaster", pid)
	}
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	t.Setenv("PGOPTIONS", "-c no_such=1")
	t.Setenv("PGBACKREST_STANZA", "orders")
	pid := start(t, in)
	if got, running := in.Postmaster(); got != pid || !running {
		t.Errorf("Postmaster() = %d, %t; want %d", got, running, pid)
	}
	if again, err := in.Start(StartOptions{}); err != nil || again != pid {
		t.Errorf("starting a running server: %d, %v; want %d", again, err, pid)
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	ok(t, err)
	if strings.Contains(string(env), "NOTIFY_SOCKET") || strings.Contains(string(env), "PGOPTIONS") {
		t.Error("the environment is not clean")
	}
	if !strings.Contains(string(env), "PGBACKREST_STANZA=orders") {
		t.Error("archive_command does not get what the site gave it")
	}
	if fds := openFiles(t, pid); slices.ContainsFunc(fds, func(f string) bool { return strings.Contains(f, ".test") }) {
		t.Errorf("inherited: %v", fds)
	}
	if sid, err := sessionOf(pid); err != nil || sid != pid {
		t.Errorf("session %d, %v; want its own %d", sid, err, pid)
	}
	ok(t, in.Stop(within(t), pid, Fast))
	if _, running := in.Postmaster(); running {
		t.Error("still running after Stop")
	}
	ok(t, in.Stop(within(t), pid, Fast))
	if c, err := in.Control(); err != nil || !c.State.CleanPrimary() {
		t.Errorf("after a fast stop: %v, %v", c.State, err)
	}
}

func sessionOf(pid int) (int, error) {
	sid, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}

func openFiles(t *testing.T, pid int) (names []string) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	ok(t, err)
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func TestWaitReadyTellsWhyAStartFailed(t *testing.T) {
	in := newServer(t)
	ok(t, os.WriteFile(filepath.Join(in.Data, "postgresql.auto.conf"), []byte("no_such_setting = 1\n"), 0o600))
	_, err := in.Start(StartOptions{})
	ok(t, err)
	err = in.WaitReady(within(t))
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("error does not carry the log: %v", err)
	}
}

func TestWaitReadyGivesUpOnRefusal(t *testing.T) {
	in := newServer(t)
	_, err := in.Start(StartOptions{})
	ok(t, err)
	stranger := sameServer(in)
	stranger.User = "nobody"
	eventually(t, "the postmaster shows", func() bool { _, running := in.Postmaster(); return running })
	began := time.Now()
	if err := stranger.WaitReady(within(t)); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an unknown role: %v", err)
	}
	if time.Since(began) > limit/2 {
		t.Error("waited on although no waiting helps")
	}
	ok(t, in.WaitReady(within(t)))
}

// sameServer is another view of the same server, as after a supervisor's restart.
func sameServer(in *Instance) *Instance {
	return &Instance{Data: in.Data, Bin: in.Bin, LogFile: in.LogFile, Socket: in.Socket, Port: in.Port, User: in.User, Database: in.Database}
}

func TestConfigFileElsewhere(t *testing.T) {
	in := newServer(t)
	in.ConfigFile = filepath.Join(in.Socket, "elsewhere.conf")
	ok(t, os.Rename(filepath.Join(in.Data, "postgresql.conf"), in.ConfigFile))
	startWith(t, in, StartOptions{Settings: map[string]string{"cluster_name": "two words"}})
	if got := query(t, in, "current_setting('cluster_name')"); got != "two words" {
		t.Errorf("cluster_name = %q", got)
	}
}

// A lock file whose pid lives on in a stranger or a zombie stops PostgreSQL for
// ever; Start makes way, and only then.
func TestStartPastStrangersLockFile(t *testing.T) {
	for name, victim := range map[string]func(*testing.T) int{"reused": sleeper, "zombie": zombie} {
		t.Run(name, func(t *testing.T) {
			in := newServer(t)
			pid := victim(t)
			plantLock(t, in, pid)
			out, err := exec.Command(in.program("postgres"), "-D", in.Data).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "lock file \"postmaster.pid\" already exists") {
				t.Fatalf("PostgreSQL itself sorted it out: %v %s", err, out)
			}
			if _, running := in.Postmaster(); running {
				t.Fatal("taken for a postmaster")
			}
			start(t, in)
		})
	}
}

func plantLock(t *testing.T, in *Instance, pid int) {
	t.Helper()
	ok(t, os.WriteFile(filepath.Join(in.Data, "postmaster.pid"),
		fmt.Appendf(nil, "%d\n%s\n1700000000\n%d\n%s\n127.0.0.1\n  1234567  999999999\nready   \n", pid, in.Data, in.Port, in.Socket), 0o600))
	ok(t, os.WriteFile(in.SocketPath()+".lock", fmt.Appendf(nil, "%d\n%s\n1700000000\n%d\n%s\n", pid, in.Data, in.Port, in.Socket), 0o600))
	ok(t, os.WriteFile(in.SocketPath(), nil, 0o600))
}

func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	ok(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}

func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	ok(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() })
	eventually(t, "the process is a zombie", func() bool { st, ok := readStat(cmd.Process.Pid); return ok && st.dead() })
	return cmd.Process.Pid
}

func TestKillEndsAllEvenWhenFrozen(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	ok(t, syscall.Kill(pid, syscall.SIGSTOP))
	if n := len(processes(in.owns)); n < 3 {
		t.Fatalf("only %d processes found", n)
	}
	ok(t, in.Kill(pid))
	eventually(t, "all are gone", func() bool { return len(processes(in.owns)) == 0 })
	ok(t, in.Kill(pid))
}

func TestKillLeavesStrangersAlone(t *testing.T) {
	in := newServer(t)
	pid := sleeper(t)
	ok(t, in.Kill(pid))
	ok(t, in.Stop(within(t), pid, Immediate))
	if st, found := readStat(pid); !found || st.dead() {
		t.Error("a process that is not PostgreSQL was killed")
	}
	if in.Reload(pid) == nil || in.AskPromotion(pid) == nil {
		t.Error("a stranger was asked to reload or promote")
	}
}

func TestStopGivesUpAtTheDeadline(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	ok(t, syscall.Kill(pid, syscall.SIGSTOP))
	ctx, cancel := contextWith(50 * time.Millisecond)
	defer cancel()
	if err := in.Stop(ctx, pid, Fast); !errors.Is(err, errDeadline) {
		t.Errorf("stop of a frozen server: %v", err)
	}
}
