package lab

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
)

// mcctlProgram is the program under test, built by the Makefile.
func mcctlProgram(t *testing.T) string {
	t.Helper()
	path := os.Getenv("MCCTL")
	if path == "" {
		t.Fatal("MCCTL is not set to the mcctl program; run the tests with: make test PKG=./pkg/lab")
	}
	return path
}

// up brings the lab up and sees to it that it goes down with the test.
func up(t *testing.T, opt Options) *Lab {
	t.Helper()
	var said bytes.Buffer
	opt.Out = &said
	l, err := Up(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return l
}

func downLater(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := Down(context.Background(), dir, true); err != nil {
			t.Errorf("down: %v", err)
		}
	})
}

func TestUpIsPairedAndUpAgainChangesNothing(t *testing.T) {
	dir := labDir(t)
	opt := Options{Dir: dir, Mcctl: mcctlProgram(t), Profile: "tight"}
	downLater(t, dir)
	l := up(t, opt)

	st, err := l.Status(t.Context())
	if err != nil || st.Record.Mode != pair.Paired || st.Record.Primary != Server1 {
		t.Fatalf("status: %v, %v", st.Record, err)
	}
	before := l.Pids()
	if one := before.Servers[Server1]; one.Supervisor == 0 || one.Postmaster == 0 || one.Walsender == 0 || before.Witness == 0 {
		t.Errorf("processes: %+v", before)
	}
	if two := before.Servers[Server2]; two.Supervisor == 0 || two.Postmaster == 0 || two.Walreceiver == 0 {
		t.Errorf("processes: %+v", before)
	}
	mustAsk(t, l, l.Env()["PGURI"], "create table t(x int); insert into t values (7)")
	if got := mustAsk(t, l, socketInfo(l, Server1), "select sync_state from pg_stat_replication"); got != "sync" {
		t.Errorf("the standby is %q, not synchronous", got)
	}
	l = up(t, opt)
	if after := l.Pids(); after.Servers[Server1] != before.Servers[Server1] || after.Witness != before.Witness {
		t.Errorf("up again changed the processes: %+v, then %+v", before, after)
	}
	goDownAndUp(t, l, opt)
}

func goDownAndUp(t *testing.T, l *Lab, opt Options) {
	t.Helper()
	if err := Down(t.Context(), l.Dir, false); err != nil {
		t.Fatal(err)
	}
	p := l.Pids()
	if p.Witness != 0 || p.WitnessWatch != 0 || p.Servers[Server1] != (ServerPids{}) || p.Servers[Server2] != (ServerPids{}) {
		t.Errorf("left running: %+v", p)
	}
	l = up(t, opt)
	if got := mustAsk(t, l, l.Env()["PGURI"], "select x from t"); got != "7" {
		t.Errorf("after down and up the table holds %q", got)
	}
}

func TestUpKilledWhileStartingIsPutRight(t *testing.T) {
	dir := labDir(t)
	mcctl := mcctlProgram(t)
	downLater(t, dir)
	for _, after := range []time.Duration{2500, 500, 1000} {
		killedUp(t, dir, mcctl, after*time.Millisecond)
	}
	l := up(t, Options{Dir: dir, Mcctl: mcctl})
	if st, err := l.Status(t.Context()); err != nil || st.Record.Mode != pair.Paired {
		t.Errorf("status: %v, %v", st.Record, err)
	}
}

func TestUpWithoutArbiter(t *testing.T) {
	dir := labDir(t)
	downLater(t, dir)
	l := up(t, Options{Dir: dir, Mcctl: mcctlProgram(t), Arbiter: "none"})
	if l.Pids().Witness != 0 {
		t.Error("a witness runs")
	}
	if _, ok := l.Env()["MCARB"]; ok {
		t.Error("the environment names an arbiter")
	}
}

func TestUpRefuses(t *testing.T) {
	dir := labDir(t)
	l, unlock, err := prepare(t.Context(), Options{Dir: dir, Mcctl: someProgram(t)})
	if err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(full+"/precious", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, opt := range map[string]Options{
		"another mcctl lab command is at work": {Dir: dir},
		"holds no lab":                         {Dir: full},
		"name a directory":                     {},
		"has witness, etcd, command or none":   {Dir: labDir(t), Arbiter: "zookeeper"},
		"make build":                           {Dir: labDir(t), Mcctl: "/nowhere/mcctl"},
		"--port":                               {Dir: labDir(t), Port: 80},
		"only root can do that":                {Dir: labDir(t), User: "nobody-else"},
	} {
		if opt.Mcctl == "" {
			opt.Mcctl = someProgram(t)
		}
		if _, err := Up(t.Context(), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	unlock()
	_, err = Up(t.Context(), Options{Dir: dir, Port: l.state.Port + 1, Arbiter: "none", Settings: map[string]string{"work_mem": "5MB"}})
	for _, want := range []string{"made with port", "made with --pg work_mem=, not work_mem=5MB", "made with arbiter witness, not none", "mcctl lab down --wipe"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestLongPathsGetASocketDirectoryBelowTmp(t *testing.T) {
	dir := labDir(t) + strings.Repeat("/long", 20)
	l := built(t, dir)
	postgres(t, l, Server1)
	if got := l.socketDir(Server1); !strings.HasPrefix(got, "/tmp/mcctl-lab-") {
		t.Errorf("socket directory %s", got)
	}
	if err := Down(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.socketDir(Server1)); err == nil {
		t.Errorf("%s is left", l.socketDir(Server1))
	}
}

func TestOpenWithoutLab(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "mcctl lab up") {
		t.Errorf("got %v", err)
	}
}
