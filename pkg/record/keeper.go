package record

import (
	"fmt"

	"mcctl/pkg/pair"
)

// Sight is what the keeper of the record knows of the present primary when the
// standby asks to take over.
type Sight struct {
	// PrimaryHeard: the primary's supervisor is connected and was heard within
	// the heartbeat timeout.
	PrimaryHeard bool
	// PostgresDown: that supervisor itself reported that its PostgreSQL is down.
	PostgresDown bool
}

// Judge applies a change as the keeper does: legal by the protocol, and not a
// failover away from a primary that the keeper itself can still hear. The second
// half is preference, not safety: with only the link between the servers cut,
// the primary goes on alone and the standby stays.
func (r Record) Judge(c Change, seen Sight) (Record, error) {
	if c.Transition == Failover && seen.PrimaryHeard && !seen.PostgresDown {
		return r, fmt.Errorf("%s to %s: the primary %s is heard and has not reported its PostgreSQL down", c.Transition, c.To, r.Primary)
	}
	return r.Apply(c)
}

// FromKnown finds the record again from what both servers know, for a keeper that
// has none: the newest term and its primary, alone, whatever was known of the mode.
// Alone promises nothing of the other server and lets nobody take over, so it is
// right whatever was forgotten; the pair attaches again by T2. A server that knows
// nothing (a new one) counts as older than any other.
func FromKnown(known map[pair.Server]Record) (Record, error) {
	var newest Record
	for _, k := range known {
		if k.NewerThan(newest) {
			newest = k
		}
	}
	if !newest.Exists() {
		return Record{}, fmt.Errorf("neither server knows a record; initialise the pair first")
	}
	if newest == First(newest.Pair, newest.Primary) {
		newest.Revision++ // a new pair: no keeper has been lost
		return newest, nil
	}
	newest.Mode, newest.Moved = pair.Alone, ""
	newest.Revision += reborn
	return newest, nil
}

// Outlived reports whether a closed record gives way to what both servers know: both
// have been at another keeper since, and have come back. One of them alone may have
// heard of it while the other one is still to leave.
func (r Record) Outlived(known map[pair.Server]Record) bool {
	newer := 0
	for _, k := range known {
		if k.NewerThan(r) {
			newer++
		}
	}
	return r.Moved != "" && newer == members
}

// members is how many servers a pair has.
const members = 2

// reborn is how far the revision jumps when a record is found again, and when a primary
// is forced that does not know whether the other server has taken over: changes that
// nobody here knows of must not have the same one.
const reborn = 1 << 20
