package check

import (
	"fmt"
	"slices"

	"mcctl/pkg/settings"
)

// A server needs a walsender for the standby and two for a copy (pg_basebackup
// --wal-method=stream uses a second one), and a slot for the standby beside a
// temporary one for the copy.
const (
	sendersNeeded = 3
	slotsNeeded   = 2
)

// limitChecks look at numbers that are sized at the start of PostgreSQL.
func limitChecks() []Check {
	return []Check{
		{
			ID: "wal-senders", What: "3 walsenders are left for the standby and a copy", Severity: Error,
			Why:    "with none left the standby cannot stream, or not be rebuilt",
			Mend:   "set max_wal_senders = {want} in {conf} and restart PostgreSQL",
			Blocks: blocks(Rebuild), Needs: needs(PostgreSQL), Judge: senders,
		},
		{
			ID: "replication-slots", What: "2 replication slots are left for the standby and a copy", Severity: Error,
			Why:    "without its slot the standby may find its log gone",
			Mend:   "set max_replication_slots = {want} in {conf} and restart PostgreSQL",
			Blocks: blocks(Rebuild), Needs: needs(PostgreSQL), Judge: slots,
		},
		{
			ID: "standby-limits", What: "no limit is lower on the standby than on the primary", Severity: Error,
			Why:    "a standby with lower limits does not start, or stops replaying (\"insufficient parameter settings\")",
			Mend:   "set {name} = {want} in {conf} on {me} and restart PostgreSQL there",
			Blocks: blocks(Failover, Switch), Needs: needs(PostgreSQL), Both: true, Judge: lowerOnStandby,
		},
		{
			ID: "primary-limits", What: "no limit is lower on the primary than on the standby", Severity: Warning,
			Why:    "after a switch the old primary is the standby, and does not start with lower limits",
			Mend:   "set {name} = {want} in {conf} on {me} and restart PostgreSQL there",
			Blocks: blocks(Rewind), Needs: needs(PostgreSQL), Both: true, Judge: lowerOnPrimary,
		},
	}
}

func senders(v View) []Trouble {
	limit, ok := number(v.Me, "max_wal_senders")
	standby := int64(0) // the one that streams is one of the three
	if v.Me.primary() && v.Me.Postgres.Senders > 0 {
		standby = 1
	}
	used := int64(v.Me.Postgres.Senders) - standby
	if !ok || limit-used >= sendersNeeded {
		return nil
	}
	return one(fmt.Sprintf("max_wal_senders is %d and %d are used by others: fewer than %d are left", limit, used, sendersNeeded), "want", itoa(int(used)+sendersNeeded+2))
}

func slots(v View) []Trouble {
	limit, ok := number(v.Me, "max_replication_slots")
	used := int64(0)
	for _, slot := range v.Me.Postgres.Slots {
		if slot.Name != settings.Slot(v.Me.Config.Other()) {
			used++
		}
	}
	if !ok || limit-used >= slotsNeeded {
		return nil
	}
	return one(fmt.Sprintf("max_replication_slots is %d and %d are used by others: fewer than %d are left", limit, used, slotsNeeded), "want", itoa(int(used)+slotsNeeded+2))
}

// standbyLimits must not be lower on a standby ("Administrator's Overview" of hot
// standby in the manual, 13 to 18).
func standbyLimits() []string {
	return []string{"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"}
}

func lowerOnStandby(v View) []Trouble {
	if v.Me.primary() {
		return nil
	}
	return lower(v)
}

func lowerOnPrimary(v View) []Trouble {
	if !v.Me.primary() {
		return nil
	}
	return lower(v)
}

func lower(v View) (found []Trouble) {
	for name := range slices.Values(standbyLimits()) {
		here, ok := number(v.Me, name)
		there, known := number(v.Other, name)
		if ok && known && here < there {
			found = append(found, Trouble{
				fmt.Sprintf("%s is %d on %s and %d on %s", name, here, v.Me.Server, there, v.Other.Server),
				fill("name", name, "want", itoa(int(there))),
			})
		}
	}
	return found
}
