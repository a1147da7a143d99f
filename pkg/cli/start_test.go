package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func TestStartRefusesRoot(t *testing.T) {
	dir := newMcdir(t)
	data := writeConfig(t, dir)
	owner := "root"
	if os.Geteuid() == 0 {
		if err := os.Chown(data, 65534, -1); err != nil {
			t.Fatal(err)
		}
		owner = userName(65534)
	} else {
		owner = userName(uint32(os.Geteuid()))
	}
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	env.Euid = func() int { return 0 }
	status := Main(t.Context(), env, []string{"start", "-M", dir})
	shot{exitStatus(status), out.String(), complaints.String()}.wants(t, exitRefused,
		"refused as root: data directory "+data+" belongs to "+owner, "runuser -u "+owner+" -- mcctl start -M "+dir)
	if _, err := os.Stat(logOf(dir)); err == nil {
		t.Error("something was started")
	}
}

// A join that was cut off has no copy yet: the supervisor would make one, without what was
// said of tablespaces and pg_wal.
func TestStartWantsAFinishedInit(t *testing.T) {
	dir := newMcdir(t)
	writeConfig(t, dir)
	write(t, filepath.Join(dir, "init.json"), `{"kind": "second", "plan": {}, "finished": false}`)
	mcctl(t.Context(), "start", "-M", dir).wants(t, exitRefused, "mcctl: start: mcctl init has not come to its end in "+dir, "hint: run that mcctl init again: it goes on where it was")
	if _, err := os.Stat(logOf(dir)); err == nil {
		t.Error("something was started")
	}
}

func TestStartChecksTheDataDirectory(t *testing.T) {
	dir := newMcdir(t)
	data := writeConfig(t, dir)
	c, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	if me != 0 {
		if err := checkOwner("start", me, c); err != nil {
			t.Errorf("our own directory: %v", err)
		}
	}
	if err := checkOwner("start", me+1, c); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("somebody else's directory: %v", err)
	}
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if me != 0 {
		if err := checkOwner("start", me, c); err == nil || report(&bytes.Buffer{}, err) != exitRefused {
			t.Errorf("a directory open to all: %v", err)
		}
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	if err := checkOwner("start", 1, c); err != nil {
		t.Errorf("a directory to be made: %v", err)
	}
	if err := checkOwner("start", 0, c); err == nil {
		t.Error("root may start where there is no data directory")
	}
}

func TestIsUp(t *testing.T) {
	for postgres, up := range map[string]bool{"open": true, "standby": true, "gated": false, "down": false, "busy": false} {
		st := wire.Status{Local: "server2", Servers: []wire.ServerStatus{
			{Server: "server1", Postgres: "open"}, {Server: "server2", Postgres: postgres, Role: pair.Standby},
		}}
		if isUp(st, false) != up {
			t.Errorf("%s counts as up: %t", postgres, !up)
		}
		if got := isUp(st, true); got != (up || postgres == "down") {
			t.Errorf("%s with --mc-only counts as up: %t", postgres, got)
		}
	}
}

// A start of what runs already waits for PostgreSQL like any other, and tells that it
// has not turned anything on or off.
func TestStartOfWhatRunsAlready(t *testing.T) {
	st := paired()
	s := newSupervisor(t, st)
	down := paired()
	down.Servers[0].Postgres, down.Servers[0].Why = "starting", "it starts"
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) {
		if s.count(wire.KindStatus) < 3 {
			return down, nil
		}
		return st, nil
	})
	var out, complaints bytes.Buffer
	env := testEnv(&out, &complaints)
	o := &startOptions{superviseOptions: superviseOptions{Mcdir: s.mcdir, Failover: failoverOff}, Timeout: time.Minute}
	if err := startedBefore(t.Context(), env, o, down); err != nil {
		t.Error(err)
	}
	want := "automatic switch and detach stay enabled: mcctl disable-failover -M " + s.mcdir + "\nserver1: rule 290: it starts\n"
	if out.String() != want {
		t.Errorf("it says\n%s, want\n%s", out.String(), want)
	}
	out.Reset()
	o.Failover, st.Failover = failoverOn, false // the other server has it off
	if o.tellFailover(env, st); out.String() != "automatic switch and detach stay disabled: mcctl enable-failover -M "+s.mcdir+"\n" {
		t.Errorf("failover is not on: %q", out.String())
	}
	o.Timeout = time.Millisecond
	if err := startedBefore(t.Context(), env, o, down); report(&complaints, err) != exitGoingOn {
		t.Errorf("after its time: %v", err)
	}
	down.LeftDown = true
	if err := startedBefore(t.Context(), env, o, down); report(&complaints, err) != exitRefused {
		t.Errorf("nothing starts what is left down: %v", err)
	}
}
