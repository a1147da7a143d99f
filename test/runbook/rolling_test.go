package runbook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/test/fault"
)

// noted is the maintenance: it notes each try, and that the server is really down.
const noted = `#!/bin/sh
set -eu
test ! -e "$MCCTL_DATA_DIRECTORY/postmaster.pid"
sleep 0.3
echo "$MCCTL_SERVER try $MCCTL_TRY" >>"$1"
`

// A rolling update that is cut off at every one of its steps goes on each time, and
// brings the server back in the end.
func TestAnInterruptedRollingUpdateGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	script, done := filepath.Join(s.clean, "maintenance"), filepath.Join(s.clean, "done")
	if err := os.WriteFile(script, []byte(noted), 0o755); err != nil {
		t.Fatal(err)
	}
	before := s.confs()
	s.begin()
	s.guided(script + " " + done)
	killed, interrupted := &fault.Counts{}, &fault.Counts{}
	steps := []string{"check", "switch", "stop", "maintain", "start", "attach"}
	for _, c := range []struct {
		primary pair.Server // has all the steps, and becomes the standby, unless it is switched back
		back    bool
		how     syscall.Signal
		after   time.Duration
		counts  *fault.Counts
	}{
		{one, true, syscall.SIGKILL, 0, killed},
		{one, false, syscall.SIGKILL, 60 * time.Millisecond, killed},
		{two, true, syscall.SIGINT, 0, interrupted},
	} {
		primary, steps, args := c.primary, steps, []string{"--exec", script + " " + done}
		if c.back {
			steps, args = append(slices.Clone(steps), "switch-back"), append(args, "--switch-back")
		}
		s.probe.Mark(fmt.Sprintf("%s after %s", c.how, c.after))
		cut := 0
		for _, step := range steps {
			in, ended := s.cutOff(primary, args, step, c.how, c.after)
			t.Logf("%s after %s of %-9s on %s: was in %q", c.how, c.after, step, primary, in)
			if ended {
				break
			}
			cut++
			if in == step { // or that step was over already
				c.counts.Add(step)
			}
		}
		out, err := s.update(primary, args)
		if err != nil || !strings.Contains(out, `"event":"done"`) && cut == len(steps) {
			s.tellLogs()
			t.Fatalf("after %d interruptions: %v\n%s", cut, err, out)
		}
		if tries := strings.Count(s.read(done), string(primary)); tries == 0 {
			t.Errorf("the maintenance was never done on %s", primary)
		}
		t.Logf("%s after %s: %d runs were cut off, the last one came to the end", c.how, c.after, cut)
	}
	s.probe.Mark("by hand")
	for how, counts := range map[syscall.Signal]*fault.Counts{syscall.SIGKILL: killed, syscall.SIGINT: interrupted} {
		s.cutOffByHand(one, how, counts)
	}
	killed.Promised(t, "mcctl rolling-update", "kill -9")
	interrupted.Promised(t, "mcctl rolling-update", "Ctrl-C")
	t.Logf("maintenance:\n%s", s.read(done))
	s.judge(7, "--switch-back", "--done", "killed after 0s", "killed after 0s", "killed after 60ms", "interrupt after 0s", "interrupt after 0s")
	s.sameConfs(before)
}

// guided executes the page, and what the command refuses.
func (s *stage) guided(maintenance string) {
	s.Helper()
	for _, server := range []pair.Server{one, two} {
		s.variables[server]["MAINTENANCE"] = maintenance
		for name, value := range map[string]string{"SERVER": string(server), "DATA_DIRECTORY": s.lab.Data(server), "TRY": "0"} {
			s.variables[server]["MCCTL_"+name] = value // for the maintenance by hand
		}
	}
	s.execute(s.load("guided-update.md"))
	for _, c := range []struct {
		on     pair.Server
		args   string
		status int
		says   string
	}{
		{two, "--done", 4, "none is under way here"},
		{two, "--abort", 4, "none is under way here"},
		{two, "--exec true", 4, "not done without --yes"},
		{two, "--yes --exec 'exit 7'", 1, "in step maintain: run the maintenance: exit status 7"},
		{one, "--yes --exec true", 4, "the pair is not whole"},
		{two, "--abort", 0, "given up in step maintain; server2 is started as it is"},
	} {
		out, err := s.shell(c.on, fmt.Sprintf("mcctl rolling-update %s || test $? = %d\n", c.args, c.status))
		if err != nil || !strings.Contains(out, c.says) {
			s.Errorf("rolling-update %s on %s: %v, want status %d and %q\n%s", c.args, c.on, err, c.status, c.says, out)
		}
	}
	if out, err := s.shell(two, "timeout 60 sh -c 'until mcctl status --check >/dev/null; do sleep 0.2; done'\n"); err != nil {
		s.Fatalf("not whole after --abort: %v\n%s", err, out)
	}
}

// command is a rolling update on a server.
func (s *stage) command(on pair.Server, args []string) *exec.Cmd {
	cmd := exec.Command(s.lab.Mcctl(), append([]string{"rolling-update", "--yes", "-o", "json", "-M", s.lab.Mcdir(on)}, args...)...)
	cmd.Dir = s.clean
	return cmd
}

// cutOff runs an update until it has said that it begins a step, and cuts it off. It
// tells the step that is on disk then, or that the update had ended before.
func (s *stage) cutOff(on pair.Server, args []string, step string, how syscall.Signal, after time.Duration) (in string, ended bool) {
	s.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			s.Fatalf("the update on %s never came to %s", on, step)
		}
		cmd := s.command(on, args)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.Fatal(err)
		}
		seen := awaitStep(bufio.NewScanner(out), step)
		if seen {
			time.Sleep(after)
			_ = cmd.Process.Signal(how)
		}
		err = cmd.Wait()
		switch {
		case seen && how == syscall.SIGINT && err != nil && !strings.Contains(said.String(), "go on: mcctl rolling-update"):
			s.Fatalf("Ctrl-C in %s does not say how to go on:\n%s", step, said.String())
		case seen:
			return s.stepOnDisk(on), err == nil
		case strings.Contains(said.String(), "still goes on"): // the maintenance of the run before
		default:
			s.Fatalf("the update on %s ended before %s: %v\n%s", on, step, err, said.String())
		}
	}
}

// afterwards is what comes after a maintenance by hand: its flag, what it says in the end, and
// how it is cut off, which tells whether it was under way.
type afterwards struct {
	flag, ends string
	cutOff     func(pair.Server, syscall.Signal) (met bool)
}

// cutOffByHand cuts off --done and --abort on a standby, and calls each once more.
func (s *stage) cutOffByHand(standby pair.Server, how syscall.Signal, counts *fault.Counts) {
	s.Helper()
	for _, a := range []afterwards{
		{"--done", `"event":"done"`, s.cutOffDone},
		{"--abort", `"event":"given-up"`, s.cutOffAbort},
	} {
		for tries := 0; tries < 3 && counts.Of(a.flag) == 0; tries++ {
			if s.cutOffAfterwards(standby, a, how) { // or it was over already
				counts.Add(a.flag)
			}
		}
	}
}

// cutOffAfterwards takes a standby down for a maintenance by hand, and cuts off what comes
// after it. Called once more it comes to its end, and the pair is whole.
func (s *stage) cutOffAfterwards(standby pair.Server, a afterwards, how syscall.Signal) (met bool) {
	s.Helper()
	if out, err := s.shell(standby, "mcctl rolling-update --yes || test $? = 3\n"); err != nil {
		s.Fatalf("not down for the maintenance: %v\n%s", err, out)
	}
	met = a.cutOff(standby, how)
	s.Logf("%s of %s: met %t", how, a.flag, met)
	if out, err := s.update(standby, []string{a.flag}); met && (err != nil || !strings.Contains(out, a.ends)) {
		s.tellLogs()
		s.Fatalf("%s after it was cut off: %v\n%s", a.flag, err, out)
	}
	if out, err := s.shell(standby, "timeout 60 sh -c 'until mcctl status --check >/dev/null; do sleep 0.1; done'\n"); err != nil {
		s.Fatalf("not whole after %s: %v\n%s", a.flag, err, out)
	}
	return met
}

// cutOffDone cuts --done off where it starts the server.
func (s *stage) cutOffDone(standby pair.Server, how syscall.Signal) (met bool) {
	s.Helper()
	in, _ := s.cutOff(standby, []string{"--done"}, "start", how, 0)
	return in == "start"
}

// cutOffAbort cuts --abort off when the supervisor that it starts is there. It is met if
// nothing is forgotten yet.
func (s *stage) cutOffAbort(standby pair.Server, how syscall.Signal) (met bool) {
	s.Helper()
	cmd := s.command(standby, []string{"--abort"})
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	for began := time.Now(); s.lab.Pids().Servers[standby].Supervisor == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			s.Fatal("--abort starts no supervisor")
		}
	}
	_ = cmd.Process.Signal(how)
	err := cmd.Wait()
	if how == syscall.SIGINT && err != nil && !strings.Contains(said.String(), "mcctl rolling-update --abort") {
		s.Errorf("Ctrl-C in --abort does not say how to go on:\n%s", said.String())
	}
	_, forgotten := os.Stat(filepath.Join(s.lab.Mcdir(standby), "rolling-update.json"))
	return err != nil && forgotten == nil
}

func awaitStep(lines *bufio.Scanner, step string) bool {
	for lines.Scan() {
		var e struct{ Event, Step string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Event == "step" && e.Step == step {
			return true
		}
	}
	return false
}

func (s *stage) stepOnDisk(on pair.Server) string {
	s.Helper()
	var saved struct{ Step string }
	if err := json.Unmarshal([]byte(s.read(filepath.Join(s.lab.Mcdir(on), "rolling-update.json"))), &saved); err != nil {
		s.Fatal(err)
	}
	return saved.Step
}

// update runs an update to its end.
func (s *stage) update(on pair.Server, args []string) (string, error) {
	s.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.command(on, args).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "still goes on") || time.Since(began) > time.Minute {
			return string(out), err
		}
	}
}
