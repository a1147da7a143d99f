package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// copier is a copy command that is a script of sh. It notes its own number, and that of
// what it leaves in the background.
func copier(t *testing.T, script string) (c *CopyCommand, leader, left func() int) {
	t.Helper()
	dir := t.TempDir()
	number := func(name string) func() int {
		return func() (pid int) {
			eventually(t, "it has begun", func() bool {
				text, _ := os.ReadFile(filepath.Join(dir, name))
				pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return pid != 0
			})
			return pid
		}
	}
	script = "cd " + dir + "; echo $$ >leader; (" + script + " sleep 3600) & echo $! >left; "
	return &CopyCommand{Program: []string{"/bin/sh", "-c", script}, Lock: filepath.Join(dir, "lock")}, number("leader"), number("left")
}

func TestNothingThatACopyCommandBeganOutlivesIt(t *testing.T) {
	c, leader, left := copier(t, "exec")
	c.Program[2] += "wait"
	go func() {
		left() // it is known
		_ = syscall.Kill(leader(), syscall.SIGKILL)
	}()
	if err := c.run(within(t), CopyRequest{}); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("killed, it ended with %v", err)
	}
	if !ending(left()) {
		t.Error("what it began goes on")
	}
	c, _, left = copier(t, "exec")
	ok(t, c.run(within(t), CopyRequest{})) // although its output is held open
	if !ending(left()) {
		t.Error("what it left in the background goes on")
	}
}

// What a copy command of a supervisor that was killed has begun is found, whether it
// closes what it inherits or leaves its group.
func TestWhatAnEarlierCopyCommandBeganIsEnded(t *testing.T) {
	for _, script := range []string{"exec", "exec 3>&-; exec", "exec setsid"} {
		c, leader, left := copier(t, script)
		held, err := holdCopiers(c.Lock)
		ok(t, err)
		cmd := exec.Command(c.Program[0], c.Program[1], c.Program[2]+"wait")
		cmd.ExtraFiles, cmd.SysProcAttr = []*os.File{held}, &syscall.SysProcAttr{Setpgid: true}
		ok(t, cmd.Start())
		ok(t, noteCopiers(held, cmd.Process.Pid))
		ok(t, held.Close())
		pid := left()
		ok(t, syscall.Kill(leader(), syscall.SIGKILL))
		_ = cmd.Wait()
		ok(t, EndCopiers(c.Lock))
		if !ending(pid) {
			t.Errorf("after %q it goes on", script)
		}
		held, err = holdCopiers(c.Lock)
		ok(t, err)
		ok(t, held.Close())
	}
}

// A number that was given to another process since is not the copy command's.
func TestNobodyElseIsTakenForACopyCommand(t *testing.T) {
	cmd := exec.Command("sleep", "3600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ok(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	path := filepath.Join(t.TempDir(), "lock")
	ok(t, EndCopiers(path)) // there was none
	write(t, path, leaderOf(cmd.Process.Pid, stat{began: "1"}))
	ok(t, EndCopiers(path))
	if ending(cmd.Process.Pid) {
		t.Error("it was ended")
	}
}
