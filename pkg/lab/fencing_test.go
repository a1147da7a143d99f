package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// idle starts a program that does nothing in a directory until the test ends.
func idle(t *testing.T, dir, program string, args ...string) int {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "MCCTL_LAB_IDLE=1")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// there looks a process up; a zombie is gone.
func there(pid int) (process, bool) {
	all := processes()
	i := slices.IndexFunc(all, func(p process) bool { return p.pid == pid })
	if i < 0 {
		return process{}, false
	}
	return all[i], true
}

// script runs a command of server2 about server1.
func script(l *Lab, command string, args ...string) error {
	out, err := exec.Command(l.path("server2", command), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return nil
}

// bystanders look much like processes of server1: those of a lab whose path ends as this one's,
// or begins so, and an operator's shell that stands in the data directory.
func bystanders(t *testing.T, l *Lab) map[string]int {
	t.Helper()
	mcdir := l.Mcdir(Server1)
	return map[string]int{
		"a supervisor elsewhere":  idle(t, "/", os.Args[0], "supervise", "-M", filepath.Join(filepath.Dir(l.Dir), "elsewhere", mcdir)),
		"a watch elsewhere":       idle(t, "/", os.Args[0], "watch-supervisor", "-M", mcdir+"2"),
		"an editor":               idle(t, "/", os.Args[0], "edit", mcdir, "supervisor.conf"),
		"a shell":                 idle(t, l.Data(Server1), "sh"),
		"a supervisor of server2": idle(t, "/", os.Args[0], "supervise", "-M", l.Mcdir(Server2)),
	}
}

func TestFencingEndsOneServerAndNothingElse(t *testing.T) {
	l := built(t, filepath.Join(filepath.Dir(labDir(t)), "it's [a] $lab"))
	l.state.Arbiter = "command"
	if err := l.writeScripts(Server2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Lift(Server1) })
	others := bystanders(t, l)
	if err := script(l, "arbitration", "server2", "server1"); err != nil {
		t.Errorf("nothing of server1 runs yet: %v", err)
	}
	for name, start := range map[string]func(){
		"PostgreSQL":   func() { postgres(t, l, Server1) },
		"a supervisor": func() { idle(t, "/", os.Args[0], "supervise", "-M", l.Mcdir(Server1)) },
		"a watch":      func() { idle(t, "/", os.Args[0], "watch-supervisor", "-M", l.Mcdir(Server1)) },
	} {
		start()
		if script(l, "arbitration", "server2", "server1") == nil {
			t.Errorf("server1 is called dead, and %s of it runs", name)
		}
		if err := script(l, "fencing", "command", "switch", "server2", "server1"); err != nil {
			t.Error(err)
		}
		if p := l.Pids().Servers[Server1]; p != (ServerPids{}) {
			t.Errorf("%s of server1 was fenced, and there is %+v", name, p)
		}
		if err := script(l, "arbitration", "server2", "server1"); err != nil {
			t.Error(err)
		}
		if err := l.Lift(Server1); err != nil {
			t.Fatal(err)
		}
	}
	for name, pid := range others {
		if _, alive := there(pid); !alive {
			t.Errorf("%s was ended with server1", name)
		}
	}
}

func TestOnlyPostgreSQLIsAtWorkInADataDirectory(t *testing.T) {
	l := built(t, labDir(t))
	postgres(t, l, Server1)
	shell, _ := there(idle(t, l.Data(Server1), "sh"))
	head := l.Pids().Servers[Server1].Postmaster
	found := 0
	for _, p := range processes() {
		if p.pid == head || p.parent == head {
			found++
			if !l.owns(p) {
				t.Errorf("%q is not the lab's", p.title())
			}
		}
	}
	if found < 3 || l.owns(shell) {
		t.Errorf("%d processes of PostgreSQL; the shell is the lab's: %v", found, l.owns(shell))
	}
	stale := fmt.Sprintf("%d\n", idle(t, l.Data(Server2), "sh"))
	if err := os.WriteFile(filepath.Join(l.Data(Server2), "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid := l.Pids().Servers[Server2].Postmaster; pid != 0 {
		t.Errorf("a shell has the number of a postmaster that is gone, and passes for it: %d", pid)
	}
}
