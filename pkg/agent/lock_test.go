package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/config"
)

// holderCommand starts this program as a supervisor that holds the lock.
const holderCommand = "play-holder"

// playHolder takes the lock and starts a process that outlives it, as PostgreSQL
// outlives a supervisor. Both end with their standard input.
func playHolder(dir string) error {
	if _, err := lock(&config.Config{Dir: dir}); err != nil {
		return err
	}
	child := exec.Command("cat")
	child.Stdin = os.Stdin
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println(child.Process.Pid)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestOneSupervisorOnAManagementDirectory(t *testing.T) {
	c := &config.Config{Dir: t.TempDir()}
	unlock, err := lock(c)
	ok(t, err)
	if got := pidIn(t, c); got != os.Getpid() {
		t.Errorf("the pid file says %d", got)
	}
	if _, err := lock(c); err == nil || !strings.Contains(err.Error(), "another supervisor runs on "+c.Dir+"; see mcctl status -M "+c.Dir) {
		t.Errorf("a second one: %v", err)
	}
	if got := pidIn(t, c); got != os.Getpid() {
		t.Errorf("after the refusal the pid file says %d", got)
	}
	unlock()
	ok(t, os.WriteFile(c.Path("run", "supervisor.pid"), []byte("4194303\n"), 0o600)) // of an earlier version, and longer
	unlock, err = lock(c)
	ok(t, err)
	defer unlock()
	if got := pidIn(t, c); got != os.Getpid() {
		t.Errorf("the pid file says %d after another was there", got)
	}
}

func pidIn(t *testing.T, c *config.Config) int {
	t.Helper()
	b, err := os.ReadFile(c.Path("run", "supervisor.pid"))
	ok(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	ok(t, err)
	return pid
}

func TestAKilledSupervisorLosesItsLock(t *testing.T) {
	c := &config.Config{Dir: t.TempDir()}
	self, err := os.Executable()
	ok(t, err)
	holder := exec.Command(self, holderCommand, c.Dir)
	stdin, err := holder.StdinPipe()
	ok(t, err)
	defer stdin.Close()
	stdout, err := holder.StdoutPipe()
	ok(t, err)
	ok(t, holder.Start())
	defer func() { _ = holder.Wait() }()
	defer func() { _ = holder.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("the holder ended")
	}
	child, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatalf("the holder says %q", lines.Text())
	}
	if _, err := lock(c); err == nil {
		t.Fatal("two hold the lock")
	}
	if got := pidIn(t, c); got != holder.Process.Pid {
		t.Errorf("the pid file says %d, the holder is %d", got, holder.Process.Pid)
	}
	ok(t, holder.Process.Kill())
	var unlock func()
	eventually(t, "the lock is free", func() bool { unlock, err = lock(c); return err == nil })
	defer unlock()
	if err := syscall.Kill(child, 0); err != nil {
		t.Errorf("the holder's child should still run: %v", err)
	}
	if got := pidIn(t, c); got != os.Getpid() {
		t.Errorf("the pid file of the dead one stays: %d", got)
	}
}
