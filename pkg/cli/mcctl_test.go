package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcctl/pkg/agent"
	"mcctl/pkg/check"
	"mcctl/pkg/wire"
)

// called runs a command of this program under another name.
func called(ctx context.Context, name string, args ...string) shot {
	var out, complaints bytes.Buffer
	status := MainAs(ctx, testEnv(&out, &complaints), name, args)
	return shot{exitStatus(status), out.String(), complaints.String()}
}

// speaks: every line of text has the form of a message.
func speaks(t *testing.T, text, program, letters string) {
	t.Helper()
	form := regexp.MustCompile(fmt.Sprintf(`^%s\[%d\]: (INFO|NOTICE|WARNING|ERROR): .+ \(%s\d{5}\)$`, program, os.Getpid(), letters))
	for line := range strings.Lines(text) {
		if !form.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("not a message: %q", line)
		}
	}
}

func TestMcCtlSpeaksItsForm(t *testing.T) {
	s := newSupervisor(t, paired())
	s.on(wire.KindDetach, func(body json.RawMessage) (any, error) {
		if string(body) != `{"no_fencing":true}` {
			t.Errorf("asked for %s", body)
		}
		return wire.Done{Note: "server2 is detached"}, nil
	})
	got := called(t.Context(), "mc_ctl", "detach", "--no-fencing", "-M", s.mcdir)
	got.wants(t, exitDone, "INFO: server2 is detached (MCA90001)")
	speaks(t, got.stdout, "mc_ctl", "MCA")

	s.on(wire.KindDetach, func(json.RawMessage) (any, error) {
		return nil, fmt.Errorf("%w: fencing server2: exit status 1", wire.ErrRefused)
	})
	got = called(t.Context(), "mc_ctl", "detach", "-M", s.mcdir)
	got.wants(t, exitRefused, "ERROR: detach: refused: fencing server2: exit status 1 (MCA90014)", "NOTICE: ")
	speaks(t, got.stdout+got.stderr, "mc_ctl", "MCA")
	if strings.Contains(got.stdout, "ERROR") || !strings.Contains(got.stdout, "commits are on the disk of the primary alone") {
		t.Errorf("standard output says %q", got.stdout)
	}
}

func TestMcCtlStatus(t *testing.T) {
	st := paired()
	for i := range st.Servers {
		st.Servers[i].Stream = "streaming"
	}
	s := newSupervisor(t, st)
	got := called(t.Context(), "mc_ctl", "status", "-M", s.mcdir)
	if !strings.HasPrefix(got.stdout, "mirroring status\n----------------\nswitchable\nserver_id  host_role  host ") {
		t.Errorf("got\n%s", got)
	}
	called(t.Context(), "mc_ctl", "status", "--arbiter", "-M", s.mcdir).wants(t, exitDone, "\narbiter_id  host ", "online")

	got = called(t.Context(), "mc_ctl", "status", "-M", newMcdir(t))
	got.wants(t, exitNotRunning, "ERROR: no supervisor is running here", "(MCA90015)")
	if got.stdout != "" {
		t.Errorf("a table without a supervisor: %s", got.stdout)
	}
}

func TestMcCtlForcedSwitchAsksNothing(t *testing.T) {
	before := paired()
	before.Local, before.Servers[0].Supervisor = "server2", "lost"
	s := newSupervisor(t, before)
	s.on(wire.KindSwitch, func(body json.RawMessage) (any, error) {
		if string(body) != `{"force":true}` {
			t.Errorf("asked for %s", body)
		}
		return nil, fmt.Errorf("force: %w: fencing failed", wire.ErrRefused)
	})
	got := called(t.Context(), "mc_ctl", "switch", "--force", "-M", s.mcdir)
	got.wants(t, exitRefused, "WARNING: server2 will take over by force", "(MCA90003)", "fencing failed")
	speaks(t, got.stdout+got.stderr, "mc_ctl", "MCA")
	before.Local = "server1"
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return before, nil })
	got = called(t.Context(), "mc_ctl", "switch", "--force", "-M", s.mcdir)
	got.wants(t, exitRefused, "ERROR: switch --force: refused: server1 is primary already (MCA90014)")
	if strings.Contains(got.stdout, "WARNING") {
		t.Errorf("it warns of what is refused:\n%s", got)
	}
	speaks(t, got.stdout+got.stderr, "mc_ctl", "MCA")
}

func TestMcCtlMisuse(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "name one of its commands"},
		{[]string{"status"}, "no management directory was named"},
		{[]string{"setup"}, `there is no command "mc_ctl setup"`},
		{[]string{"start", "-f", "-F", "-M", "/"}, "exclude each other"},
		{[]string{"start", "-w", "-W", "-M", "/"}, "exclude each other"},
		{[]string{"stop", "-a", "-e", "-M", "/"}, "exclude each other"},
		{[]string{"status", "-M", "/does/not/exist"}, "/does/not/exist does not exist"},
		{[]string{"status", "--nonsense"}, "unknown flag: --nonsense"},
	} {
		got := called(t.Context(), "mc_ctl", c.args...)
		got.wants(t, exitUsage, c.want, "(MCA90012)")
		speaks(t, got.stdout+got.stderr, "mc_ctl", "MCA")
	}
}

// The number that existing monitors know is kept where the message is the same.
func TestMcCtlArbiterNotReached(t *testing.T) {
	var out, complaints bytes.Buffer
	v := &mcVoice{out: &out, err: &complaints, program: "mc_ctl", letters: "MCA", pid: 7}
	v.report(failed(exitFailed, fmt.Errorf("start supervisor of server1: exit status 1\n  "+agent.ArbiterNotReached+"192.0.2.9:1 is not reached: connection refused"), "mend that"))
	want := `mc_ctl[7]: ERROR: start supervisor of server1: exit status 1 (MCA00152)
mc_ctl[7]: ERROR: start supervisor: the arbiter at 192.0.2.9:1 is not reached: connection refused (MCA00152)
mc_ctl[7]: NOTICE: mend that (MCA90002)
`
	if complaints.String() != want || out.String() != "" {
		t.Errorf("got %s%s", out.String(), complaints.String())
	}
}

func TestMcArb(t *testing.T) {
	dir := newArbiterDir(t)
	called(t.Context(), "mc_arb", "status").wants(t, exitUsage, "or set the environment variable ARBCONTROLDIR (MCR90002)")
	got := called(t.Context(), "mc_arb", "start", "-w", "-M", dir)
	got.wants(t, exitDone, "INFO: the arbiter is running (MCR90001)")
	speaks(t, got.stdout, "mc_arb", "MCR")
	called(t.Context(), "mc_arb", "status", "-M", dir).wants(t, exitDone, "server_id  host  status\n------------------------\n")
	called(t.Context(), "mc_arb", "stop", "-M", dir).wants(t, exitDone, "has stopped (MCR90001)")
	called(t.Context(), "mc_arb", "status", "-M", dir).wants(t, exitNotRunning, "(MCR90015)")
	called(t.Context(), "mc_arb", "start", "-W", "-M", dir).wants(t, exitDone)
	await(t, "it answers", func() bool { return called(t.Context(), "mc_arb", "status", "-M", dir).status == exitDone })
	called(t.Context(), "mc_arb", "stop", "-e", "-M", dir).wants(t, exitDone)
}

// Waited for, the start of an arbiter that cannot come up fails.
func TestMcArbNeedNotWait(t *testing.T) {
	for _, flag := range []string{"-W", "--wait=false"} {
		dir := newArbiterDir(t)
		write(t, filepath.Join(dir, "arbiter.crt"), "nonsense")
		called(t.Context(), "mc_arb", "start", flag, "-M", dir).wants(t, exitDone)
		await(t, "its watch is there to be ended", func() bool { return pidOf(t, watchOf, dir) != 0 })
	}
}

func TestMcArbStatusTable(t *testing.T) {
	var b bytes.Buffer
	p := wire.WitnessPairStatus{Servers: []wire.WitnessServerStatus{{Name: "server1", Online: true}, {Name: "server2"}}}
	if err := writeMcServers(&b, p); err != nil {
		t.Fatal(err)
	}
	want := "server_id  host  status\n------------------------\nserver1    -     online\nserver2    -     offline\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestSymlinks(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		mcctl(t.Context(), "symlinks", dir).wants(t, exitDone, filepath.Join(dir, "mc_ctl")+" -> ", "mc_arb")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(dir, "mc_arb")); to != program || err != nil {
		t.Errorf("mc_arb leads to %s, %v", to, err)
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "mc_ctl"), "somebody else's")
	mcctl(t.Context(), "symlinks", other).wants(t, exitRefused, "mc_ctl is there already and is not a link to")
	if text, _ := os.ReadFile(filepath.Join(other, "mc_ctl")); string(text) != "somebody else's" {
		t.Error("it was overwritten")
	}
}

// JSON is for programs, under every name.
func TestMcCtlSwitchPrintsJSON(t *testing.T) {
	s := newSupervisor(t, paired())
	job := wire.Job{ID: "switch-3-1", Kind: "switch", To: "server2", Term: 4, Phase: phaseDone, Committed: true, Final: true}
	s.on(wire.KindSwitch, func(json.RawMessage) (any, error) {
		return wire.Job{ID: job.ID, Kind: job.Kind, To: job.To, Term: job.Term, Phase: "checking"}, nil
	})
	s.on(wire.KindJob, func(json.RawMessage) (any, error) { return job, nil })
	s.on(wire.KindPreview, func(json.RawMessage) (any, error) {
		return check.Preview{From: "server1", To: "server2", Checks: []check.Hurdle{{ID: "record", State: check.Fine}}}, nil
	})
	for _, args := range [][]string{{}, {"--status"}, {"--dry-run"}} {
		got := called(t.Context(), "mc_ctl", append([]string{"switch", "-o", "json", "-M", s.mcdir}, args...)...)
		got.wants(t, exitDone)
		if !json.Valid([]byte(got.stdout)) {
			t.Errorf("%q is no JSON:\n%s", args, got)
		}
		speaks(t, got.stderr, "mc_ctl", "MCA")
	}
}
