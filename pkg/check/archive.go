package check

import "fmt"

// backlogMax is how many segments may wait to be archived.
const backlogMax = 16

// archiveChecks look at the WAL archive.
func archiveChecks() []Check {
	return []Check{
		{
			ID: "archiver-failing", What: "the newest attempt to archive succeeded", Severity: Warning,
			Why:   "backups lack log from then on, log piles up until the disk is full, and each shutdown tries again first, for seconds",
			Mend:  "see the log of PostgreSQL for what archive_command says; {psql} -c 'select * from pg_stat_archiver'",
			Needs: needs(PostgreSQL), Judge: archiverFailing,
		},
		{
			ID: "archiver-backlog", What: "at most 16 segments wait to be archived", Severity: Warning,
			Why:   "a shutdown archives them first, while clients wait; and they fill the disk",
			Mend:  "make archive_command faster, or find out why it waits: ls {data}/pg_wal/archive_status | grep -c ready",
			Needs: needs(PostgreSQL), Judge: archiverBacklog,
		},
	}
}

func archiverFailing(v View) []Trouble {
	a := v.Me.Postgres.Archiver
	if !a.On || !a.Failing {
		return nil
	}
	return one(fmt.Sprintf("archiving %s failed %.0f s ago; %d failures in all", a.LastWAL, seconds(a.FailureAge), a.Failed))
}

func archiverBacklog(v View) []Trouble {
	a := v.Me.Postgres.Archiver
	if !a.On || a.Ready <= backlogMax {
		return nil
	}
	return one(fmt.Sprintf("%d segments wait to be archived, more than %d", a.Ready, backlogMax))
}

func seconds(age *float64) float64 {
	if age == nil {
		return 0
	}
	return *age
}
