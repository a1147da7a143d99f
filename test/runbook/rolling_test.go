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
	switched := []string{"--switch-back", "--done"} // by the page
	for _, r := range []round{
		{one, true, syscall.SIGKILL, 0, killed},
		{one, false, syscall.SIGKILL, 60 * time.Millisecond, killed},
		{two, true, syscall.SIGINT, 0, interrupted},
	} {
		// One that is switched back may be repeated: it leaves the primary where it was.
		for tries := 0; tries == 0 || r.back && tries < 4 && r.counts.Lacks(r.steps()); tries++ {
			switched = append(switched, s.cutOffEverywhere(r, script, done)...)
		}
	}
	s.probe.Mark("by hand")
	for how, counts := range map[syscall.Signal]*fault.Counts{syscall.SIGKILL: killed, syscall.SIGINT: interrupted} {
		s.cutOffByHand(one, how, counts)
	}
	killed.Promised(t, "mcctl rolling-update", "kill -9")
	interrupted.Promised(t, "mcctl rolling-update", "Ctrl-C")
	t.Logf("maintenance:\n%s", s.read(done))
	s.judge(len(switched), switched...)
	s.sameConfs(before)
}

// round is an update that is cut off at each of its steps.
type round struct {
	primary pair.Server // has all the steps, and becomes the standby, unless it is switched back
	back    bool
	how     syscall.Signal
	after   time.Duration
	counts  *fault.Counts
}

func (r round) String() string { return fmt.Sprintf("%s after %s", r.how, r.after) }

func (r round) steps() []string {
	steps := []string{"check", "switch", "stop", "maintain", "start", "attach"}
	if r.back {
		steps = append(steps, "switch-back")
	}
	return steps
}

// cutOffEverywhere makes a round, and names where its switches are to be found. A step that
// was over before the update could be cut off in it does not count, nor do those that were
// over with it.
func (s *stage) cutOffEverywhere(r round, script, done string) (switched []string) {
	s.Helper()
	args := []string{"--exec", script + " " + done}
	if switched = []string{r.String()}; r.back {
		args, switched = append(args, "--switch-back"), append(switched, r.String())
	}
	s.probe.Mark(r.String())
	maintained := func() int { return strings.Count(s.read(done), string(r.primary)) }
	in, cut, before := "check", 0, maintained()
	for steps := r.steps(); len(steps) > 0 && in != "done"; steps = steps[1:] {
		if slices.Contains(steps[1:], in) { // nobody comes back to this one
			continue
		}
		in = s.cutOff(r.primary, args, steps[0], r.how, r.after)
		s.Logf("%s of %-9s on %s: was in %q", r, steps[0], r.primary, in)
		cut++
		if in == steps[0] {
			r.counts.Add(in)
		}
	}
	if in != "done" { // else it would be another update
		if out, err := s.update(r.primary, args); err != nil || !strings.Contains(out, `"event":"done"`) {
			s.tellLogs()
			s.Fatalf("after %d interruptions: %v\n%s", cut, err, out)
		}
	}
	if maintained() == before {
		s.Errorf("the maintenance was never done on %s", r.primary)
	}
	s.Logf("%s: cut off %d times, it came to the end", r, cut)
	return switched
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
// tells the step that is on disk then, which is "done" if the update had ended before.
func (s *stage) cutOff(on pair.Server, args []string, step string, how syscall.Signal, after time.Duration) (in string) {
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
			return s.stepOnDisk(on)
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
		for tries := 0; tries < 6 && counts.Of(a.flag) == 0; tries++ {
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
	return s.cutOff(standby, []string{"--done"}, "start", how, 0) == "start"
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
