package postgres

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mcctl/pkg/pair"
)

// controldata is what PostgreSQL's own program says.
func controldata(t *testing.T, in *Instance) map[string]string {
	t.Helper()
	cmd := exec.Command(in.program("pg_controldata"), in.Data)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	ok(t, err)
	says := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(line, ":")
		says[name] = strings.TrimSpace(value)
	}
	return says
}

func compareControl(t *testing.T, in *Instance, want State) {
	t.Helper()
	c, err := in.Control()
	ok(t, err)
	says := controldata(t, in)
	onOff := map[bool]string{true: "on", false: "off"}
	for name, got := range map[string]string{
		"Database system identifier":         strconv.FormatUint(c.SystemID, 10),
		"pg_control version number":          strconv.Itoa(int(c.ControlVersion)),
		"Database cluster state":             c.State.String(),
		"Latest checkpoint location":         c.Checkpoint.String(),
		"Latest checkpoint's REDO location":  c.Redo.String(),
		"Latest checkpoint's TimeLineID":     strconv.Itoa(int(c.Timeline)),
		"Minimum recovery ending location":   c.MinRecovery.String(),
		"Min recovery ending loc's timeline": strconv.Itoa(int(c.MinRecoveryTimeline)),
		"Backup start location":              c.BackupStart.String(),
		"Bytes per WAL segment":              strconv.FormatUint(c.Segment, 10),
		"wal_log_hints setting":              onOff[c.WALLogHints],
		"Data page checksum version":         map[bool]string{true: "1", false: "0"}[c.Checksums],
	} {
		if says[name] != got {
			t.Errorf("%s: %s, pg_controldata says %s", name, got, says[name])
		}
	}
	if c.State != want {
		t.Errorf("state %v, want %v", c.State, want)
	}
}

func TestControlAgreesWithPgControldata(t *testing.T) {
	primary, standby := newPair(t)
	compareControl(t, primary, InProduction)
	compareControl(t, standby, InArchiveRecovery)
	pid, _ := standby.Postmaster()
	ok(t, standby.Stop(within(t), pid, Fast))
	compareControl(t, standby, ShutDownInRecovery)
	pid, _ = primary.Postmaster()
	ok(t, primary.Stop(within(t), pid, Fast))
	compareControl(t, primary, ShutDown)
}

func TestControlRefusesDamage(t *testing.T) {
	in := newServer(t)
	path := filepath.Join(in.Data, "global", "pg_control")
	b, err := os.ReadFile(path)
	ok(t, err)
	b[40] ^= 1
	ok(t, os.WriteFile(path, b, 0o600))
	if _, err := in.Control(); !errors.Is(err, errControlSum) {
		t.Errorf("a damaged file: %v", err)
	}
	ok(t, os.WriteFile(path, b[:100], 0o600))
	if _, err := in.Control(); !errors.Is(err, errControlSum) {
		t.Errorf("a short file: %v", err)
	}
	ok(t, os.Remove(path))
	if _, err := in.Control(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestStateWords(t *testing.T) {
	if !ShutDownInRecovery.WasStandby() || !InArchiveRecovery.WasStandby() || InProduction.WasStandby() || !ShutDown.CleanPrimary() || ShutDownInRecovery.CleanPrimary() {
		t.Error("states are told wrongly")
	}
	if got := State(9).String(); got != "state 9" {
		t.Errorf("an unknown state is %q", got)
	}
}

func TestParseHistory(t *testing.T) {
	forks, err := parseHistory("1\t0/3000148\tno recovery target specified\n\n# note\n2\t16/B374D848\tx y\n")
	ok(t, err)
	want := []Fork{{1, 0x3000148}, {2, 0x16B374D848}}
	if len(forks) != 2 || forks[0] != want[0] || forks[1] != want[1] {
		t.Errorf("forks %v, want %v", forks, want)
	}
	for _, bad := range []string{"1\n", "x 0/1\n", "1 zz\n", "2 0/1 a\n1 0/2 b\n"} {
		if _, err := parseHistory(bad); err == nil {
			t.Errorf("parseHistory(%q) succeeded", bad)
		}
	}
}

func TestHistoryAfterPromotion(t *testing.T) {
	_, standby := newPair(t)
	if forks, err := standby.History(1); err != nil || forks != nil {
		t.Errorf("timeline 1: %v, %v", forks, err)
	}
	if _, err := standby.History(2); !errors.Is(err, ErrNoHistory) {
		t.Errorf("a timeline to come: %v", err)
	}
	promote(t, standby)
	forks, err := standby.History(2)
	ok(t, err)
	look, err := connect(t, standby).Look(within(t), "s")
	ok(t, err)
	if len(forks) != 1 || forks[0].Timeline != 1 || forks[0].LSN == 0 || look.Timeline != pair.Timeline(2) {
		t.Errorf("forks %v, timeline %d", forks, look.Timeline)
	}
}
