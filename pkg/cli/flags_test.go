package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// parse runs one command with a function that keeps its options.
func parse[O any](t *testing.T, make func(*Env, func(context.Context, *Env, *O) error) *cobra.Command, line string) O {
	t.Helper()
	var got O
	var out bytes.Buffer
	cmd := make(testEnv(&out, &out), func(_ context.Context, _ *Env, o *O) error { got = *o; return nil })
	cmd.SetArgs(append([]string{}, strings.Fields(line)...))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%s %s: %v", cmd.Name(), line, err)
	}
	return got
}

func TestStartFlags(t *testing.T) {
	for line, want := range map[string]startOptions{
		"":                {Timeout: 2 * time.Minute},
		"-w":              {Timeout: 2 * time.Minute},
		"-W":              {Timeout: 2 * time.Minute, NoWait: true},
		"--wait=false":    {Timeout: 2 * time.Minute, NoWait: true},
		"--no-wait=false": {Timeout: 2 * time.Minute},
		"-f":              {Timeout: 2 * time.Minute, superviseOptions: superviseOptions{Failover: "on"}},
		"-wF":             {Timeout: 2 * time.Minute, superviseOptions: superviseOptions{Failover: "off"}},
		"--mc-only --async-connect-arbiter --foreground --timeout 5s": {
			Timeout: 5 * time.Second, Foreground: true, superviseOptions: superviseOptions{McOnly: true, Async: true},
		},
	} {
		want.Mcdir = "/tmp"
		if got := parse(t, newStart, "-M /tmp "+line); got != want {
			t.Errorf("start %s: %+v, want %+v", line, got, want)
		}
	}
}

func TestStopFlags(t *testing.T) {
	got := parse(t, newStop, "-M /tmp -a --mc-only --timeout 3s")
	if want := (stopOptions{Mcdir: "/tmp", All: true, McOnly: true, Timeout: 3 * time.Second}); got != want {
		t.Errorf("stop: %+v, want %+v", got, want)
	}
	if got := parse(t, newStop, "-M /tmp -e"); !got.Force {
		t.Errorf("stop -e: %+v", got)
	}
}

func TestSwitchFlags(t *testing.T) {
	for line, want := range map[string]switchOptions{
		"":                          {Timeout: time.Minute},
		"--force --yes --no-wait":   {Timeout: time.Minute, Force: true, Yes: true, NoWait: true},
		"--status":                  {Timeout: time.Minute, Status: true},
		"--status switch-3-1a":      {Timeout: time.Minute, Status: true, Job: "switch-3-1a"},
		"--cancel x --timeout 10ms": {Timeout: 10 * time.Millisecond, Cancel: true, Job: "x"},
	} {
		want.Mcdir, want.Output = "/tmp", formText
		if got := parse(t, newSwitch, "-M /tmp "+line); got != want {
			t.Errorf("switch %s: %+v, want %+v", line, got, want)
		}
	}
}

func TestStatusFlags(t *testing.T) {
	got := parse(t, newStatus, "-M /tmp -o json --arbiter --check --watch")
	if want := (statusOptions{Mcdir: "/tmp", Output: formJSON, Arbiter: true, Check: true, Watch: time.Second}); got != want {
		t.Errorf("status: %+v, want %+v", got, want)
	}
	if got := parse(t, newStatus, "-M /tmp --watch=50ms"); got.Watch != 50*time.Millisecond {
		t.Errorf("status --watch=50ms: %+v", got)
	}
	for line, want := range map[string]string{
		"--watch 5s":  "mcctl: status: write the interval as --watch=5s\n",
		"--watch=0s":  "mcctl: status: --watch=0s: the interval must be more than nothing\n",
		"--watch=-1s": "mcctl: status: --watch=-1s: the interval must be more than nothing\n",
		"5s":          "mcctl: status: there is no use for \"5s\"\n",
	} {
		mcctl(t.Context(), append([]string{"status", "-M", "/tmp"}, strings.Fields(line)...)...).wants(t, exitUsage, want)
	}
}

func TestProbeFlags(t *testing.T) {
	got := parse(t, newProbe, "--uri host=h --writers 2 --interval 10ms --duration 3s --table t --keep -o svg")
	want := probeOptions{URI: "host=h", Writers: 2, Interval: 10 * time.Millisecond, Duration: 3 * time.Second, Table: "t", Keep: true, Output: formSVG}
	if got != want {
		t.Errorf("probe: %+v, want %+v", got, want)
	}
}

func TestLabUpFlags(t *testing.T) {
	got := parse(t, newLabUp, "/tmp/lab --arbiter none --port 4000 --bin-dir /b --user u --profile tight --pg a=b,c --pg d=e=f")
	settings, err := pgSettings(got.PG)
	if err != nil || len(settings) != 2 || settings["a"] != "b,c" || settings["d"] != "e=f" {
		t.Errorf("--pg: %v, %v", settings, err)
	}
	if got.Dir != "/tmp/lab" || got.Arbiter != "none" || got.Port != 4000 || got.BinDir != "/b" || got.User != "u" || got.Profile != "tight" {
		t.Errorf("lab up: %+v", got)
	}
}

// What an operator asked for once is not asked again of a supervisor that is
// started after a crash.
func TestWatchRestartsWithoutOldWishes(t *testing.T) {
	got := parse(t, newWatchSupervisor, "-M /tmp --failover off --mc-only --tell")
	if first := strings.Join(got.First, " "); first != "supervise -M /tmp --failover off --mc-only" {
		t.Errorf("first: %s", first)
	}
	if again := strings.Join(got.Again, " "); again != "supervise -M /tmp --async-connect-arbiter --again" {
		t.Errorf("again: %s", again)
	}
	if !got.Tell {
		t.Error("--tell was not taken")
	}
}

func TestIOProbeFlags(t *testing.T) {
	if got := parse(t, newIOProbe, "/data 250ms /mcdir"); got != (ioProbeOptions{Dir: "/data", Every: 250 * time.Millisecond, Measured: "/mcdir"}) {
		t.Errorf("io-probe: %+v", got)
	}
}

// The supervisor hears what the child prints, and nothing else.
func TestALookForRoomThatFailsTellsWhy(t *testing.T) {
	var out bytes.Buffer
	err := runLookForRoom(t.Context(), testEnv(&out, &out), &lookForRoomOptions{Data: "/nowhere"})
	if got := out.String(); err != nil || !strings.Contains(got, `"error":"read pg_control: open /nowhere/global/pg_control: no such file or directory"`) {
		t.Errorf("it prints %s: %v", got, err)
	}
}

// A hint is copied into a shell.
func TestAHintQuotesPaths(t *testing.T) {
	var f *failure
	err := failed(exitFailed, errNotRunning, "start it: mcctl start -M %s, %d times, on %s", "/srv/it's new", 2, "a b")
	if want := `start it: mcctl start -M '/srv/it'\''s new', 2 times, on a b`; !errors.As(err, &f) || f.hint != want {
		t.Errorf("got %s, want %s", f.hint, want)
	}
}
