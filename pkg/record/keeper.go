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

// FromCopies finds the record again from both servers' own copies, for a keeper
// that has none: the newest term, and of that term the copy of the server it
// names primary, never the other's, which may be stale. A copy that does not
// exist (a new server) counts as older than any other.
func FromCopies(copies map[pair.Server]Record) (Record, error) {
	var newest Record
	for _, c := range copies {
		if c.Term > newest.Term {
			newest = c
		}
	}
	if !newest.Exists() {
		return Record{}, fmt.Errorf("neither server has a copy of the record; initialise the pair first")
	}
	own, ok := copies[newest.Primary]
	if !ok || own.Term != newest.Term {
		return Record{}, fmt.Errorf("term %d names %s primary, but its own copy is of term %d; an operator must decide with mcctl switch --force", newest.Term, newest.Primary, own.Term)
	}
	if own == First(own.Pair, own.Primary) {
		own.Revision++ // a new pair: no keeper has been lost
		return own, nil
	}
	own.Revision += reborn
	return own, nil
}

// reborn is how far the revision jumps when a record is found again: changes that
// the lost keeper made, and that nobody has a copy of, must not have the same one.
const reborn = 1 << 20
