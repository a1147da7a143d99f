package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/settings"
	"mcctl/pkg/shell"
)

// durabilityChecks look at what keeps data whole and rewinds possible.
func durabilityChecks() []Check {
	return []Check{
		{
			ID: "fsync", What: "fsync is on", Severity: Error,
			Why:   "without it a power cut loses acknowledged commits and may ruin the data",
			Mend:  "set fsync = on in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Needs: needs(PostgreSQL), Judge: wants("fsync", "on"),
		},
		{
			ID: "full-page-writes", What: "full_page_writes is on", Severity: Error,
			Why:    "without it a torn page after a crash stays torn, and pg_rewind refuses the source",
			Mend:   "set full_page_writes = on in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Blocks: blocks(Rewind), Needs: needs(PostgreSQL), Judge: wants("full_page_writes", "on"),
		},
		{
			ID: "rewind-possible", What: "data checksums or wal_log_hints are on", Severity: Warning,
			Why:    "without one of them pg_rewind cannot work, and an old primary must be copied whole after a failover",
			Mend:   "set wal_log_hints = on in {conf} and restart PostgreSQL (standby first); or, with PostgreSQL stopped: {bin}/pg_checksums --enable -D {data}",
			Blocks: blocks(Rewind), Needs: needs(Files), Judge: rewindPossible,
		},
		{
			ID: "wal-level", What: "wal_level is replica or logical", Severity: Error,
			Why:    "with less there is no replication",
			Mend:   "set wal_level = replica in {conf} and restart PostgreSQL",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(PostgreSQL), Judge: wants("wal_level", "replica", "logical"),
		},
		{
			ID: "synchronous-commit", What: "synchronous_commit is on or remote_apply everywhere", Severity: Warning,
			Why:   "commits that ask for less do not wait for the standby: a failover may lose them",
			Mend:  "{reset}",
			Needs: needs(PostgreSQL), Judge: syncCommit,
		},
		{
			ID: "restart-after-crash", What: "restart_after_crash is off", Severity: Warning,
			Why:   "a postmaster that starts anew by itself lets clients in before the standby has everything; mcctl starts it with the setting off, so somebody else has started this one",
			Mend:  "mcctl stop -M {mcdir} && mcctl start -M {mcdir}",
			Needs: needs(PostgreSQL), Judge: wants("restart_after_crash", "off"),
		},
	}
}

// wants judges a setting that must have one of the values.
func wants(name string, values ...string) func(View) []Trouble {
	return func(v View) []Trouble {
		set, known := v.Me.Postgres.Settings[name]
		if !known || slices.Contains(values, set.Value) {
			return nil
		}
		return one(fmt.Sprintf("%s is %s, not %s", name, quoted(set.Shown), strings.Join(values, " or ")))
	}
}

func quoted(s string) string {
	if s == "" {
		return "''"
	}
	return s
}

func rewindPossible(v View) []Trouble {
	hints := v.Me.Control.WALLogHints
	if v.Me.Postgres != nil { // newer than pg_control, which tells what was at the last checkpoint
		hints = v.Me.Postgres.Settings["wal_log_hints"].Value == "on"
	}
	if hints || v.Me.Control.Checksums {
		return nil
	}
	return one("wal_log_hints is off and the data has no checksums")
}

func syncCommit(v View) (found []Trouble) {
	for _, s := range v.Me.Postgres.SyncCommits {
		if settings.CommitsWait(s.Value) {
			continue
		}
		where, reset := "the configuration", "set synchronous_commit = on in "+v.Me.Config.Server.ConfigFile+"; then: {psql} -c 'select pg_reload_conf()'"
		alter := func(sql string) string { return "{psql} -c " + shell.Word(sql+" reset synchronous_commit") }
		switch {
		case s.Everybody:
			where, reset = "every role", alter("alter role all")
		case s.Role != "" && s.Database != "":
			where = fmt.Sprintf("role %s in database %s", s.Role, s.Database)
			reset = alter(fmt.Sprintf("alter role %s in database %s", ident(s.Role), ident(s.Database)))
		case s.Role != "":
			where, reset = "role "+s.Role, alter("alter role "+ident(s.Role))
		case s.Database != "":
			where, reset = "database "+s.Database, alter("alter database "+ident(s.Database))
		}
		reset = told(reset, v.Me.words())
		found = append(found, Trouble{fmt.Sprintf("synchronous_commit is %s for %s", s.Value, where), fill("reset", reset)})
	}
	return found
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// number is a setting in its base unit; ok tells whether it is one.
func number(v *Side, name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(v.Postgres.Settings[name].Value, 10, 64)
	return n, err == nil
}
