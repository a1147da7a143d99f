package cli

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/wire"
)

func unprivileged(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("root may do everything: use make test")
	}
}

const mayBeKilled = "hint: a supervisor that does not answer can be killed: mcctl stop -e -M "

// Whoever is told that it can be killed may kill a primary that is well.
func TestOnlyASilentSupervisorCanBeKilled(t *testing.T) {
	unprivileged(t)
	s := newSupervisor(t, paired())
	s.hangs(t, wire.KindStatus)
	writeConfig(t, s.mcdir)
	write(t, filepath.Join(s.mcdir, "ca"), "")
	write(t, filepath.Join(s.mcdir, "crt"), "")
	for _, command := range []string{"stop", "start"} {
		got := mcctl(ctrlC(t), command, "-M", s.mcdir)
		got.wants(t, exitFailed, "mcctl: "+command+": interrupted\nhint: nothing was changed\n")
	}
	if err := os.Chmod(socketOf(s.mcdir), 0); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"stop", "start"} {
		mcctl(t.Context(), command, "-M", s.mcdir).wants(t, exitFailed, "mcctl: "+command+": status: connect to ", "permission denied\nhint: run mcctl as the user who owns "+s.mcdir+"\n")
	}
	torn := newMcdir(t)
	ln, err := wire.ListenUnix(socketOf(torn), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	mcctl(t.Context(), "stop", "-M", torn).wants(t, exitFailed, "mcctl: stop: a supervisor is there but does not answer: status: no answer", mayBeKilled+torn)
	mcctl(t.Context(), "stop", "-M", fullQueue(t)).wants(t, exitFailed, "resource temporarily unavailable", mayBeKilled)
}

// fullQueue is the directory of a supervisor that has long accepted nobody.
func fullQueue(t *testing.T) (mcdir string) {
	t.Helper()
	mcdir = newMcdir(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socketOf(mcdir)}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socketOf(mcdir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return mcdir
}

// What may not be looked at is not for that reason absent.
func TestWhatCannotBeSeenIsNotTakenForGone(t *testing.T) {
	unprivileged(t)
	dir := newMcdir(t)
	writeConfig(t, dir)
	write(t, filepath.Join(dir, "ca"), "")
	write(t, filepath.Join(dir, "crt"), "")
	hung := startHung(t, dir)
	lock := filepath.Join(dir, "run", "supervisor.lock")
	if err := os.Chmod(lock, 0); err != nil {
		t.Fatal(err)
	}
	for command, name := range map[string]string{"stop": "stop", "start": "start", "stop -e": "stop -e", "stop -e --mc-only": "stop -e"} {
		got := mcctl(t.Context(), append(strings.Fields(command), "-M", dir)...)
		got.wants(t, exitRefused, "mcctl: "+name+": see what runs here: open "+lock+": permission denied\nhint: run mcctl as the user who owns "+dir+"\n")
	}
	if err := hung.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it was ended: %v", err)
	}
}

// From within another user namespace files are seen, as by root in a container, and processes
// are not.
func TestAProcessThatMayNotBeLookedAtIsThere(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone)
	out, err := exec.Command("unshare", "--map-current-user", os.Args[0], "arbiter", "stop", "-M", dir).CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "mcctl: arbiter stop: see what runs here: readlink /proc/") || !strings.HasSuffix(string(out), "permission denied\nhint: run mcctl as the user who owns "+dir+"\n") {
		t.Errorf("%v\n%s", err, out)
	}
	mcctl(t.Context(), "arbiter", "status", "-M", dir).wants(t, exitDone)
}
