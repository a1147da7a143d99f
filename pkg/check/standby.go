package check

import "fmt"

// standbyChecks look at what a standby needs to follow, to be seen and to take over.
func standbyChecks() []Check {
	return []Check{
		{
			ID: "hot-standby", What: "hot_standby is on", Severity: Error,
			Why:    "without it nobody can look at a standby, and mcctl does not know how far it is",
			Mend:   "set hot_standby = on in {conf} and restart PostgreSQL",
			Blocks: blocks(Failover, Switch), Needs: needs(PostgreSQL), Judge: wants("hot_standby", "on"),
		},
		{
			ID: "recovery-target", What: "no recovery_target is set, and recovery_target_timeline is latest", Severity: Error,
			Why:    "a standby with a target stops there, or opens there, instead of following the primary",
			Mend:   "remove {name} from {conf} (and: {psql} -c 'alter system reset {name}') and restart PostgreSQL",
			Blocks: blocks(Failover, Switch, Rewind, Rebuild), Needs: needs(PostgreSQL), Judge: recoveryTarget,
		},
		{
			ID: "apply-delay", What: "recovery_min_apply_delay is 0", Severity: Error,
			Why:    "the standby replays late on purpose: a switch or failover waits that long for it",
			Mend:   "set recovery_min_apply_delay = 0 in {conf}; then: {psql} -c 'select pg_reload_conf()'",
			Blocks: blocks(Switch), Needs: needs(PostgreSQL), Judge: wants("recovery_min_apply_delay", "0"),
		},
		{
			ID: "replay-paused", What: "replay is not paused", Severity: Warning,
			Why:    "the standby receives but does not apply: a switch cannot be made",
			Mend:   "{psql} -c 'select pg_wal_replay_resume()'",
			Blocks: blocks(Switch), Needs: needs(PostgreSQL), Judge: replayPaused,
		},
	}
}

func recoveryTarget(v View) (found []Trouble) {
	for _, name := range []string{"recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid"} {
		if set := v.Me.Postgres.Settings[name]; set.Value != "" {
			found = append(found, Trouble{fmt.Sprintf("%s is %s, not ''", name, set.Value), fill("name", name)})
		}
	}
	if line := v.Me.Postgres.Settings["recovery_target_timeline"]; line.Value != "latest" {
		found = append(found, Trouble{"recovery_target_timeline is " + line.Value + ", not latest", fill("name", "recovery_target_timeline")})
	}
	return found
}

func replayPaused(v View) []Trouble {
	if !v.Me.Postgres.ReplayPaused {
		return nil
	}
	return one("replay is paused")
}
