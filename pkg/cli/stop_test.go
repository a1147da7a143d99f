package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

// asHung makes this test binary a supervisor of the directory that it names, one
// that answers nobody.
const asHung = "MCCTL_TEST_AS_HUNG"

func hang(dir string) {
	run := func(name string) string { return filepath.Join(dir, "run", name) }
	_, errLock := claim(run("supervisor.lock"))
	_, errPid := claim(run("supervisor.pid"))
	if err := errors.Join(errLock, errPid); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("hung")
	time.Sleep(time.Minute)
	os.Exit(1)
}

func startHung(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHung+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "hung\n" {
		t.Fatalf("it says %q", line)
	}
	return cmd
}

func TestStop(t *testing.T) {
	s := newSupervisor(t, paired())
	asked := ""
	s.on(wire.KindStop, func(body json.RawMessage) (any, error) {
		asked = string(body)
		time.Sleep(600 * time.Millisecond) // long enough for a line on how it goes
		return wire.StopAnswer{Notes: []string{"server2 was not stopped: no answer"}}, nil
	})
	got := mcctl(t.Context(), "stop", "-a", "--mc-only", "-M", s.mcdir)
	got.wants(t, exitDone)
	same(t, got.stdout, `
stopping both servers of pair orders; PostgreSQL goes on
server1: rule 290: nothing needs to change
server2 was not stopped: no answer
stopped both servers of pair orders; PostgreSQL goes on
`)
	if asked != `{"keep_postgres":true,"both":true}` {
		t.Errorf("asked %s", asked)
	}
}

func TestStopTruthAtTimeout(t *testing.T) {
	s := newSupervisor(t, paired())
	startHung(t, s.mcdir)
	release := make(chan struct{})
	defer close(release)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) { <-release; return wire.StopAnswer{}, nil })
	mcctl(t.Context(), "stop", "--timeout", "100ms", "-M", s.mcdir).wants(t, exitGoingOn, "not complete after 100ms; it goes on")
}

// The supervisor answers and then takes its time to end: so does the command.
func TestStopWaitsUntilItIsGone(t *testing.T) {
	s := newSupervisor(t, paired())
	hung := startHung(t, s.mcdir)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) { return wire.StopAnswer{}, nil })
	time.AfterFunc(300*time.Millisecond, func() { _ = hung.Process.Kill() })
	began := time.Now()
	mcctl(t.Context(), "stop", "-M", s.mcdir).wants(t, exitDone, "stopped server1")
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("it returned after %s, with the supervisor still there", took)
	}
}

func TestStopForce(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	hung := startHung(t, dir)
	mcctl(t.Context(), "stop", "-e", "-M", dir).wants(t, exitDone, fmt.Sprintf("killed supervisor %d\n", hung.Process.Pid))
	if supervisorOf(dir) != 0 {
		t.Error("it is still there")
	}
	mcctl(t.Context(), "stop", "-e", "-M", dir).wants(t, exitNotRunning, "nothing is running here")
}
