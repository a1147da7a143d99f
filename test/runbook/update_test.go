package runbook

import (
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
)

// maintenance is what an operator does while a server is down. It sees to it that it is.
const maintenance = `#!/bin/sh
set -eu
test ! -e "$PGDATA/postmaster.pid"
pg_controldata "$PGDATA" | grep 'Database cluster state: *shut down in recovery'
! mcctl status --check
sleep 2  # the other server goes on meanwhile
echo "$PGDATA" >>"$1"
`

// The rolling update needs no copy, changes no file, and interrupts clients at its
// switches only.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	script, done := filepath.Join(s.clean, "maintenance"), filepath.Join(s.clean, "done")
	if err := os.WriteFile(script, []byte(maintenance), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, server := range []pair.Server{one, two} {
		s.variables[server]["MAINTENANCE"] = script + " " + done
	}
	before := s.confs()
	s.begin()
	s.execute(s.load("rolling-update.md"))
	s.judge(2, "mcctl switch", "mcctl switch")
	s.sameConfs(before)
	if got, want := s.read(done), s.lab.Data(two)+"\n"+s.lab.Data(one)+"\n"; got != want {
		t.Errorf("the maintenance was done on\n%s, want\n%s", got, want)
	}
	for _, server := range []pair.Server{one, two} {
		if s.rebuilt(server) {
			t.Errorf("%s was rebuilt", server)
		}
	}
}

// The same where the data is gone after it, with a tablespace and the log elsewhere.
func TestRollingUpdateThatTakesTheDataAway(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Options{})
	s.spread()
	before := s.confs()
	s.variables[one]["PRIMARY"] = "host=127.0.0.1 port=" + s.variables[two]["PGPORT"] + " user=mcctl_replication"
	s.variables[one]["MAPPING"] = "-T " + s.variables[two]["TABLESPACE"] + "=" + s.variables[one]["TABLESPACE"]
	s.variables[one]["HOLD"] = filepath.Join(s.clean, "hold")
	s.begin()
	s.execute(s.load("rolling-update-new-disk.md"))
	s.judge(1, "mcctl switch")
	s.sameConfs(before)
	for _, server := range []pair.Server{one, two} {
		if got := s.psql(server, "select n from spaced"); got != "42" {
			t.Errorf("the tablespace on %s has %q", server, got)
		}
	}
}

// spread puts the log and a tablespace of both servers elsewhere. On one machine each
// needs a tablespace directory of its own, which hosts do not.
func (s *stage) spread() {
	s.Helper()
	for _, server := range []pair.Server{one, two} {
		for name, dir := range map[string]string{"TABLESPACE": "space", "WALDIR": "wal"} {
			path := filepath.Join(s.lab.Dir, string(server), dir)
			if err := os.Mkdir(path, 0o700); err != nil {
				s.Fatal(err)
			}
			s.variables[server][name] = path
		}
	}
	const moveWAL = `mcctl stop; rmdir "$WALDIR"; mv "$PGDATA/pg_wal" "$WALDIR"; ln -s "$WALDIR" "$PGDATA/pg_wal"` + "\n"
	// The supervisors find each other a moment after the start.
	const rebuildOnce = "timeout 60 sh -c 'until mcctl rebuild --way copy --yes; do sleep 0.2; done'\n"
	for _, step := range []struct {
		on   pair.Server
		text string
	}{
		{two, moveWAL},
		{one, `psql -qc "create tablespace elsewhere location '$TABLESPACE'" -c "create table spaced (n int) tablespace elsewhere" -c "insert into spaced values (42)"` + "\n"},
		{two, `ln -s "$TABLESPACE" "$PGDATA/pg_tblspc/` + "$OID\"\n" + "mcctl start --mc-only\n" + rebuildOnce},
		{one, moveWAL + "mcctl start\ntimeout 60 sh -c 'until mcctl status --check >/dev/null; do sleep 0.1; done'\n"},
	} {
		if step.on == two && step.text != moveWAL {
			s.variables[two]["OID"] = s.psql(one, "select oid from pg_tablespace where spcname = 'elsewhere'")
		}
		if out, err := s.shell(step.on, step.text); err != nil {
			s.tellLogs()
			s.Fatalf("prepare %s: %v\n%s%s", step.on, err, step.text, out)
		}
	}
}
