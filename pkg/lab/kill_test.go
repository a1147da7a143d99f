package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain lets the test binary be started again as the process to be killed, or as one that
// is there and does nothing.
func TestMain(m *testing.M) {
	if os.Getenv("MCCTL_LAB_IDLE") != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	if dir := os.Getenv("MCCTL_LAB_UP"); dir != "" {
		opt := buildOptions(dir, os.Getenv("MCCTL"))
		opt.Out = os.Stdout
		_, err := Up(context.Background(), opt)
		fmt.Println("up:", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killedUp runs Up in a process of its own and kills that after a while.
func killedUp(t *testing.T, dir, mcctl string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MCCTL_LAB_UP="+dir, "MCCTL="+mcctl)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestBuildKilledAnywhereIsPutRight(t *testing.T) {
	dir := labDir(t)
	for _, after := range []time.Duration{20, 80, 200, 400, 600, 800} {
		killedUp(t, dir, someProgram(t), after*time.Millisecond)
	}
	left := func() (pids []int) {
		for _, p := range processes() {
			if l := (&Lab{Dir: dir}); p.workdir() == l.Data(Server1) || p.workdir() == dir {
				pids = append(pids, p.pid)
			}
		}
		return pids
	}
	eventually(t, "everything that was started has died with its parent", func() bool { return len(left()) == 0 })
	l, err := Open(dir)
	if err != nil || !l.state.Built { // on a busy machine not even its name has been written
		l = built(t, dir)
	}
	postgres(t, l, Server1)
	if got := mustAsk(t, l, l.Env()["PGURI"], "select current_user"); got != appRole {
		t.Errorf("clients are %s", got)
	}
}
