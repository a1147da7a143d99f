package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// newArbiterDir makes an arbiter's management directory with real certificates,
// and sees to it that nothing of it is left running.
func newArbiterDir(t *testing.T) string {
	t.Helper()
	t.Setenv(asMcctl, "1")
	dir := newMcdir(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	ca := filepath.Join(dir, "ca")
	if err := wire.NewCA(ca); err != nil {
		t.Fatal(err)
	}
	for pair, name := range map[string]string{"": "arbiter", "p": "server1"} {
		if err := wire.NewCertificate(ca, pair, name, dir); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "arbiter.toml"), fmt.Sprintf(`
listen = %q
[tls]
ca = "ca.crt"
certificate = "arbiter.crt"
key = "arbiter.key"
`, address))
	t.Cleanup(func() {
		for _, find := range []finder{watchOf, arbiterOf} {
			if _, err := kill(context.Background(), dir, find); err != nil { // t.Context has ended by now
				t.Error(err)
			}
		}
	})
	return dir
}

// The arbiter in the background, with its watch, as real processes.
func TestArbiterInTheBackground(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone, "the arbiter is running\n")
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone, "already running")
	mcctl(t.Context(), "arbiter", "status", "-M", dir).wants(t, exitDone, "version test, pairs: 0")

	pid, watch := pidOf(t, arbiterOf, dir), pidOf(t, watchOf, dir)
	if pid == 0 || watch == 0 {
		t.Fatalf("arbiter %d, watch %d", pid, watch)
	}
	sends(t, pid, syscall.SIGKILL)
	await(t, "the arbiter runs again", func() bool { now := pidOf(t, arbiterOf, dir); return now != 0 && now != pid })
	if pidOf(t, watchOf, dir) != watch {
		t.Error("the watch is another one")
	}
	await(t, "it answers again", func() bool {
		var st wire.WitnessStatus
		got := mcctl(t.Context(), "arbiter", "status", "-o", "json", "-M", dir)
		return json.Unmarshal([]byte(got.stdout), &st) == nil && st.PID == pidOf(t, arbiterOf, dir)
	})

	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitDone, "the arbiter has stopped")
	if pidOf(t, arbiterOf, dir) != 0 || pidOf(t, watchOf, dir) != 0 {
		t.Error("something is left")
	}
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone) // at once after the stop
}

// Root would leave files that the arbiter cannot open when its unit starts it.
func TestArbiterStartRefusesRoot(t *testing.T) {
	dir := newArbiterDir(t)
	as(t, 0, "arbiter", "start", "-M", dir).wants(t, exitRefused, "arbiter start: refused as root", "runuser -u")
	as(t, 0, "arbitrate", "-M", dir).wants(t, exitRefused, "arbiter start: refused as root")
	if pidOf(t, arbiterOf, dir) != 0 || pidOf(t, watchOf, dir) != 0 {
		t.Error("it is started")
	}
	// The owner of arbiter.toml may name a key of root's: he still says where root writes.
	rootsKey := &config.Arbiter{Dir: dir, TLS: config.TLS{Key: "/bin/sh"}}
	if err := ownsArbiter(0, rootsKey); err == nil || !strings.Contains(err.Error(), dir+" belongs to ") {
		t.Errorf("with a key of root's: %v", err)
	}
}

// Started right after a kill, it is not taken for running because it is still dying.
func TestArbiterStartAfterAKill(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone)
	for range 5 {
		for _, pid := range []int{pidOf(t, watchOf, dir), pidOf(t, arbiterOf, dir)} {
			sends(t, pid, syscall.SIGKILL)
		}
		mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone, "the arbiter is running\n")
		mcctl(t.Context(), "arbiter", "status", "-M", dir).wants(t, exitDone, "pairs: 0")
	}
}

// The disk of its log may hang; heartbeats of all pairs must be heard meanwhile.
func TestAnArbiterDoesNotWaitForItsLog(t *testing.T) {
	dir := newArbiterDir(t)
	c, err := config.LoadArbiter(dir)
	if err != nil {
		t.Fatal(err)
	}
	unread, log := io.Pipe()
	defer unread.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveWitness(ctx, &Env{Stderr: log, Version: "test"}, c) }()
	await(t, "it answers", func() bool { return mcctl(t.Context(), "arbiter", "status", "-M", dir).status == exitDone })
	tls, err := wire.LoadTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server1.crt"), filepath.Join(dir, "server1.key"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := wire.Dial(t.Context(), "tcp", c.Listen, tls.Client("arbiter"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, word := range []string{"up", "down", "up"} { // each is a line of the log
		within, stop := context.WithTimeout(t.Context(), 10*time.Second)
		if err := conn.Call(within, wire.KindReport, wire.WitnessReport{Postgres: word, Known: record.First("p", "server1"), TimeoutMS: 2000}, nil); err != nil {
			t.Errorf("a report of %q: %v", word, err)
		}
		stop()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A frozen arbiter hears no SIGTERM.
func TestArbiterStopKillsWhatIsFrozen(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone)
	freeze(t, dir)
	mcctl(t.Context(), "arbiter", "stop", "--timeout", "200ms", "-M", dir).wants(t, exitDone, "was killed")
	if pidOf(t, arbiterOf, dir) != 0 || pidOf(t, watchOf, dir) != 0 {
		t.Error("something is left")
	}
}

// A first failure ends the start, tells why, and leaves nothing behind.
func TestStartThatFailsLeavesNothing(t *testing.T) {
	dir := newArbiterDir(t)
	write(t, filepath.Join(dir, "arbiter.crt"), "nonsense")
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitFailed, "it did not come up and said:", "load certificate", logOf(dir))
	await(t, "the watch has gone", func() bool { return pidOf(t, watchOf, dir) == 0 })
}

// A service manager takes what was killed for a crash.
func TestArbiterStopUnderSystemd(t *testing.T) {
	slowSuccessors(t)
	dir := newArbiterDir(t)
	first := startArbitrate(t, dir)
	freeze(t, dir)
	ended := make(chan shot, 1)
	go func() { ended <- mcctl(t.Context(), "arbiter", "stop", "--timeout", "200ms", "-M", dir) }()
	_ = first.Wait()
	startArbitrate(t, dir)
	got := <-ended
	got.wants(t, exitFailed, "mcctl: arbiter stop: it did not end by itself and was killed, and has been started again: ", "hint: stop it there: systemctl stop mcctl-arbiter")
	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitDone, "the arbiter has stopped")
}

// startArbitrate runs an arbiter as systemd does, without a watch.
func startArbitrate(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "arbitrate", "-M", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	await(t, "it is there", func() bool { return pidOf(t, arbiterOf, dir) == cmd.Process.Pid })
	return cmd
}

func freeze(t *testing.T, dir string) {
	t.Helper()
	sends(t, pidOf(t, arbiterOf, dir), syscall.SIGSTOP)
}

// Ctrl-C ends the waiting. It kills nobody.
func TestArbiterStopThatIsInterrupted(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone)
	freeze(t, dir)
	pid, watch := pidOf(t, arbiterOf, dir), pidOf(t, watchOf, dir)
	mcctl(ctrlC(t), "arbiter", "stop", "-M", dir).wants(t, exitGoingOn, "mcctl: arbiter stop: interrupted; it goes on\nhint: follow it: mcctl arbiter status -M "+dir)
	if pidOf(t, arbiterOf, dir) != pid || pidOf(t, watchOf, dir) != watch {
		t.Error("something was killed")
	}
	sends(t, pid, syscall.SIGCONT)
	await(t, "the stop goes on", func() bool { return pidOf(t, arbiterOf, dir) == 0 && pidOf(t, watchOf, dir) == 0 })
}

// One that dies again and again is mostly not there to be told.
func TestArbiterStopBetweenTwoStarts(t *testing.T) {
	dir := newArbiterDir(t)
	mcctl(t.Context(), "arbiter", "start", "-M", dir).wants(t, exitDone)
	write(t, filepath.Join(dir, "arbiter.crt"), "nonsense")
	sends(t, pidOf(t, arbiterOf, dir), syscall.SIGKILL)
	time.Sleep(time.Second) // its rests grow
	mcctl(t.Context(), "arbiter", "stop", "--timeout", "5s", "-M", dir).wants(t, exitDone, "the arbiter has stopped")
}
