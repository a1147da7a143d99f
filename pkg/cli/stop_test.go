package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// playPostmaster lets a process be the PostgreSQL of a data directory.
func playPostmaster(t *testing.T, data string) (pid int) {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "postgres")
	if out, err := exec.Command("cp", sleep, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "60")
	cmd.Dir = data
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	write(t, filepath.Join(data, "postmaster.pid"), fmt.Sprintf("%d\n%s\n", cmd.Process.Pid, data))
	return cmd.Process.Pid
}

// killedInStop is a supervisor without a watch that is killed before it answers a stop.
func killedInStop(t *testing.T) (s *supervisor, data string) {
	t.Helper()
	s = newSupervisor(t, paired())
	data = writeConfig(t, s.mcdir)
	hung := startHung(t, s.mcdir)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) {
		_ = hung.Process.Kill()
		go s.stop()
		time.Sleep(100 * time.Millisecond) // meanwhile the connection has ended
		return wire.StopAnswer{}, nil
	})
	return s, data
}

// A supervisor that was killed in the middle of the stop may never have come to PostgreSQL,
// nor to the other server.
func TestStopThatIsTornOff(t *testing.T) {
	s, _ := killedInStop(t)
	mcctl(t.Context(), "stop", "-M", s.mcdir).wants(t, exitDone, "stopped server1\n")

	s, data := killedInStop(t)
	pid := playPostmaster(t, data)
	got := mcctl(t.Context(), "stop", "-M", s.mcdir)
	got.wants(t, exitFailed, fmt.Sprintf("killed in the middle of it, and PostgreSQL, pid %d, runs without it", pid), "mcctl stop -e")
	if strings.Contains(got.stdout, "stopped") {
		t.Errorf("it says that it has stopped:\n%s", got)
	}

	s, _ = killedInStop(t)
	mcctl(t.Context(), "stop", "-a", "--mc-only", "-M", s.mcdir).wants(t, exitFailed, "whether the other one was stopped is not known")
}

// slowSuccessors lets one take its time, as on a busy machine.
func slowSuccessors(t *testing.T) {
	was := successorPatience
	successorPatience = 20 * time.Second
	t.Cleanup(func() { successorPatience = was })
}

// systemd starts a supervisor again that was killed. The new one knows nothing of the stop, and is asked.
func TestStopOfASupervisorThatIsStartedAgain(t *testing.T) {
	slowSuccessors(t)
	s, data := killedInStop(t)
	playPostmaster(t, data)
	ended := make(chan shot, 1)
	go func() { ended <- mcctl(t.Context(), "stop", "-M", s.mcdir) }()
	for limit := time.Now().Add(20 * time.Second); pidOf(t, supervisorOf, s.mcdir) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it was not killed")
		}
	}
	s.stop()
	time.Sleep(200 * time.Millisecond)
	next := startHung(t, s.mcdir)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) {
		_ = next.Process.Kill()
		return wire.StopAnswer{}, nil
	})
	s.start(t)
	got := <-ended
	got.wants(t, exitDone, "stopped server1\n")
	if n := s.count(wire.KindStop); n != 2 {
		t.Errorf("a stop was asked for %d times", n)
	}
}

func TestStopForceUnderSystemd(t *testing.T) {
	slowSuccessors(t)
	dir := newMcdir(t)
	writeConfig(t, dir)
	hung := startHung(t, dir)
	ended := make(chan shot, 1)
	go func() { ended <- mcctl(t.Context(), "stop", "-e", "-M", dir) }()
	_ = hung.Wait()
	startHung(t, dir)
	got := <-ended
	got.wants(t, exitFailed, "has been started again", "systemctl stop mcctl@"+filepath.Base(dir))
}

// A supervisor that begins anew is the same process, and may never have heard of the stop.
func TestStopIsAskedAgainOfWhoDidNotHearIt(t *testing.T) {
	s := newSupervisor(t, paired())
	hung := startHung(t, s.mcdir)
	s.on(wire.KindStop, func(json.RawMessage) (any, error) {
		if s.count(wire.KindStop) == 1 {
			return nil, fmt.Errorf("torn off: %w", wire.ErrNoAnswer)
		}
		_ = hung.Process.Kill()
		return wire.StopAnswer{}, nil
	})
	mcctl(t.Context(), "stop", "--timeout", "5s", "-M", s.mcdir).wants(t, exitDone, "stopped server1")
}

func TestStopForce(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	hung := startHung(t, dir)
	mcctl(t.Context(), "stop", "-e", "-M", dir).wants(t, exitDone, fmt.Sprintf("killed supervisor %d\n", hung.Process.Pid))
	if pidOf(t, supervisorOf, dir) != 0 {
		t.Error("it is still there")
	}
	mcctl(t.Context(), "stop", "-e", "-M", dir).wants(t, exitNotRunning, "nothing is running here")
}

// as runs a command as another user would: what PostgreSQL does is hidden from him.
func as(t *testing.T, euid int, args ...string) shot {
	t.Helper()
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	env.Euid = func() int { return euid }
	status := Main(t.Context(), env, args)
	return shot{exitStatus(status), out.String(), complaints.String()}
}

// Root does not see whether PostgreSQL runs, and must not say that it does not: whoever hears
// that may start another primary.
func TestNobodyButTheOwnerSaysThatPostgresHasStopped(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	hung := startHung(t, dir)
	as(t, 0, "stop", "-e", "-M", dir).wants(t, exitRefused, "stop -e: refused as root", "runuser -u", "mcctl stop -e -M "+dir)
	if pidOf(t, supervisorOf, dir) != hung.Process.Pid {
		t.Error("its supervisor is killed")
	}
	s, _ := killedInStop(t)
	got := as(t, 0, "stop", "-M", s.mcdir)
	got.wants(t, exitFailed, "whether PostgreSQL runs cannot be told", "as the owner of the data directory")
	if strings.Contains(got.stdout, "stopped") {
		t.Errorf("it says that it has stopped:\n%s", got)
	}
}

// A supervisor that was killed is soon there again, by its watch: a stop or a start that comes
// in between must not take it for gone.
func TestASupervisorThatIsStartedAgainIsThere(t *testing.T) {
	s := newSupervisor(t, paired())
	s.stop()
	if _, err := (control{s.mcdir}).present(t.Context()); !errors.Is(err, errNotRunning) {
		t.Errorf("nobody keeps it running: %v", err)
	}
	s.startAgain(t)
	if _, err := (control{s.mcdir}).present(t.Context()); err != nil {
		t.Errorf("its watch starts it again: %v", err)
	}
}
