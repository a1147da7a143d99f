package runbook

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// untilWhole waits until the pair is paired.
const untilWhole = "timeout 60 sh -c 'until mcctl status --check >/dev/null; do sleep 0.1; done'\n"

// The standby is made anew out of backups of the real tools, running and with its data
// gone, also by a backup of two timelines ago, and when the archive has a hole.
func TestRebuildFromBackups(t *testing.T) {
	t.Parallel()
	for tool, of := range map[string]string{
		"pgbackrest": "pgbackrest", "barman": "barman", "barman-wal-restore": "barman-cli", "rsync": "rsync", "jq": "jq", "ssh": "openssh-client", sshd: "openssh-server",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; as root run test/setup, or: apt-get install -y --no-install-recommends %s", tool, of)
		}
	}
	s := newStage(t, lab.Options{Settings: map[string]string{"archive_mode": "on", "wal_keep_size": "0"}})
	s.archive = 30 * time.Second // PostgreSQL waits for these tools at each switch, and they for a processor
	s.placeTools()
	page := s.load("rebuild-from-backups.md")
	s.begin()
	s.execute(page.Of(""))
	backrest := page.Of("pgBackRest")
	s.execute(Page{page.Name, backrest.Blocks[:1]})
	for _, server := range []pair.Server{one, two} { // instead of /tmp/pgbackrest, which would stay
		s.must(server, `sed -i "/^\[global\]/a lock-path=$LOGS" "$BACKREST"`+"\n")
	}
	s.elsewhere()
	s.execute(Page{page.Name, backrest.Blocks[1:]})
	s.rebuiltBy(wire.WayCommand, page.Of("Rebuild"))
	for _, from := range []pair.Server{one, two} {
		s.must(from, "mcctl switch\n"+untilWhole)
	}
	s.rebuiltBy(wire.WayCommand, page.Of("After the data is gone"))

	s.breakArchive()
	const starting = "{ mcctl rebuild --status || test $? = 3; } | grep ': starting'\n"
	s.must(two, "mcctl rebuild --way command --yes --no-wait\n"+
		"timeout 60 sh -c 'until grep -q \"has already been removed\" $MCCONTROLDIR/log/postgresql.log; do sleep 0.1; done'\n"+
		starting+"mcctl stop\nmcctl start -W\n"+starting)
	s.rebuiltBy(wire.WayCopy, page.Of("When log is missing"))

	s.execute(page.Of("Barman"))
	s.rebuiltBy(wire.WayCommand, page.Of("After the data is gone"))
	s.hostBarman()
	s.execute(page.Of("Barman on a host of its own"))
	s.rebuiltBy(wire.WayCommand, page.Of("After the data is gone"))
	s.judge(2)
}

// placeTools gives the tools of each server files of their own. On one machine the
// backups need not be mounted twice.
func (s *stage) placeTools() {
	s.Helper()
	me, err := user.Current()
	if err != nil {
		s.Fatal(err)
	}
	repository, catalog := filepath.Join(s.clean, "pgbackrest"), filepath.Join(s.clean, "barman")
	dirs := []string{repository, catalog}
	for _, server := range []pair.Server{one, two} {
		own := filepath.Join(s.clean, string(server))
		for name, path := range map[string]string{
			"REPOSITORY": repository, "CATALOG": catalog, "LOGS": own, "TABLESPACE": filepath.Join(s.lab.Dir, string(server), "space"),
			"RESTORE": own + "/restore-standby", "BACKREST": own + "/pgbackrest.conf", "BARMANCONF": own + "/barman.conf",
			"BARMANHOST": me.Username + "@backup.example",
		} {
			s.variables[server][name] = path
		}
		dirs = append(dirs, own, s.variables[server]["TABLESPACE"])
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil {
			s.Fatal(err)
		}
	}
}

// must runs what no page has.
func (s *stage) must(on pair.Server, text string) {
	s.Helper()
	if out, err := s.shell(on, text); err != nil {
		s.tellLogs()
		s.Fatalf("%s: %v\n%s%s", on, err, text, out)
	}
}

// elsewhere makes a tablespace on the primary, and gives the standby a directory of its
// own for it and for its log. On one machine the standby must not replay that.
func (s *stage) elsewhere() {
	s.Helper()
	s.must(two, "mcctl stop\n")
	s.must(one, `psql -qc "create tablespace elsewhere location '$TABLESPACE'" -c "create table spaced (n int) tablespace elsewhere" -c "insert into spaced values (42)"`+"\n")
	s.variables[two]["OID"] = s.psql(one, "select oid from pg_tablespace where spcname = 'elsewhere'")
	s.variables[two]["WALDIR"] = filepath.Join(s.lab.Dir, string(two), "wal")
	s.must(two, `ln -s "$TABLESPACE" "$PGDATA/pg_tblspc/$OID"; mv "$PGDATA/pg_wal" "$WALDIR"; ln -s "$WALDIR" "$PGDATA/pg_wal"; mcctl start --mc-only`+"\n")
}

// rebuiltBy executes a section after which the standby is a new one, and compares it
// with the primary.
func (s *stage) rebuiltBy(way string, section Page) {
	s.Helper()
	job := filepath.Join(s.lab.Mcdir(two), "rebuild.json")
	before, _ := os.ReadFile(job) // none yet is fine
	s.execute(section)
	after := s.read(job)
	if after == string(before) {
		s.Error("nothing was rebuilt")
	}
	var saved struct{ Job wire.RebuildJob }
	if err := json.Unmarshal([]byte(after), &saved); err != nil || saved.Job.Plan.Way != way {
		s.Errorf("it was made by %q, not by %s: %v", saved.Job.Plan.Way, way, err)
	}
	for _, server := range []pair.Server{one, two} {
		if got := s.psql(server, "select n from spaced"); got != "42" {
			s.Errorf("the tablespace on %s has %q", server, got)
		}
		if at := s.psql(server, "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'elsewhere'"); at != s.variables[server]["TABLESPACE"] {
			s.Errorf("the tablespace of %s is at %s", server, at)
		}
	}
	if to, err := os.Readlink(filepath.Join(s.lab.Data(two), "pg_wal")); err != nil || to != s.variables[two]["WALDIR"] {
		s.Errorf("pg_wal leads to %q: %v", to, err)
	}
	if left := s.psql(two, "select setting || ' of ' || sourcefile from pg_settings where name = 'restore_command'"); left == "" {
		s.Error("its restore_command has gone")
	}
	if _, err := os.Lstat(filepath.Join(s.lab.Data(two), "recovery.signal")); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("recovery.signal is left: %v", err)
	}
}

// breakArchive has nobody keep the log that the backup begins with.
func (s *stage) breakArchive() {
	s.Helper()
	s.must(one, "find \"$REPOSITORY/archive\" -name '0000000?0*' -delete\n"+
		"for i in 1 2; do psql -qc 'select pg_switch_wal()' -c checkpoint >/dev/null; done\n")
}
