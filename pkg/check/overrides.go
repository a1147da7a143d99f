package check

import (
	"fmt"
	"strings"

	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// overrideChecks look at configuration that is not what it seems.
func overrideChecks() []Check {
	return []Check{
		{
			ID: "managed-override", What: "postgresql.auto.conf holds no setting that mcctl manages", Severity: Error,
			Why:    "it beats postgresql.conf, where mcctl changes the setting with the role: commits could wait for nobody, or for a server that is gone",
			Mend:   "{psql} -c 'alter system reset {name}' (on a standby, or with PostgreSQL stopped: remove line {line} of {file}); then: {psql} -c 'select pg_reload_conf()'",
			Blocks: blocks(Failover, Switch), Needs: needs(Files), Judge: managedOverride,
		},
		{
			ID: "configuration-errors", What: "PostgreSQL accepts every line of its configuration files", Severity: Error,
			Why:    "one bad line makes PostgreSQL ignore a whole reload, also of what mcctl has changed: and it would not start again",
			Mend:   "mend line {line} of {file}; then: {psql} -c 'select pg_reload_conf()'",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(PostgreSQL), Judge: fileErrors,
		},
		{
			ID: "hba-errors", What: "PostgreSQL accepts every line of pg_hba.conf", Severity: Error,
			Why:    "with one bad line a reload keeps the old rules, and a start fails",
			Mend:   "mend line {line} of {file}; then: {psql} -c 'select pg_reload_conf()'",
			Blocks: blocks(Failover, Switch, Rewind), Needs: needs(PostgreSQL), Judge: hbaErrors,
		},
		{
			ID: "pending-restart", What: "no setting waits for a restart", Severity: Warning,
			Why:   "the next switch or failover restarts PostgreSQL, and then it takes effect at a moment that nobody chose",
			Mend:  "restart PostgreSQL when it suits (for the primary: mcctl switch -M {mcdir} first), or take the change of {names} back",
			Needs: needs(PostgreSQL), Judge: pendingRestart,
		},
	}
}

func managedOverride(v View) (found []Trouble) {
	for _, o := range v.Me.Overrides {
		if v.Me.primary() && (o.Name == settings.Conninfo || o.Name == settings.SlotName) {
			continue // it means nothing there, and is commented out when this server becomes the standby
		}
		if o.Name == settings.SyncSlots && !v.Me.Config.Policy().ManageSynchronizedStandbySlots {
			continue
		}
		found = append(found, Trouble{fmt.Sprintf("%s:%d sets %s", o.File, o.Line, o.Name), fill("name", o.Name, "line", itoa(o.Line), "file", o.File)})
	}
	return found
}

func fileErrors(v View) []Trouble { return refused(v.Me.Postgres.FileErrors) }

func hbaErrors(v View) []Trouble { return refused(v.Me.Postgres.HBAErrors) }

func refused(lines []postgres.FileError) (found []Trouble) {
	for _, e := range lines {
		found = append(found, Trouble{fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Error), fill("line", itoa(e.Line), "file", e.File)})
	}
	return found
}

func pendingRestart(v View) []Trouble {
	names := strings.Join(v.Me.Postgres.PendingRestart, ", ")
	if names == "" {
		return nil
	}
	return one("changed, but not in force before a restart: "+names, "names", names)
}
