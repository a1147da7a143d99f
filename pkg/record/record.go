// Package record is the safety core: the small record that says who is primary
// and whether the other server holds everything, and the only changes that may
// be made to it (docs/protocol.md, T1–T9). It is pure: no clock, no I/O. The
// keeper of the record and both supervisors call the same functions, so what a
// server proposes and what the keeper accepts cannot drift apart.
package record

import (
	"errors"
	"fmt"

	"mcctl/pkg/pair"
)

// Revision counts the writes of the record. Every change bumps it, also one that
// changes nothing else: a change whose answer was lost can then never be applied
// after its sender has moved on. 0 means that there is no record yet.
type Revision uint64

// Record is the pair's one source of truth.
type Record struct {
	Pair     string      `json:"pair"`
	Term     pair.Term   `json:"term"`
	Primary  pair.Server `json:"primary"`
	Mode     pair.Mode   `json:"mode"`
	Revision Revision    `json:"revision"`
	// Forced marks a term that an operator took by force: commits may be missing.
	Forced bool `json:"forced,omitempty"`
	// Moved closes the record of a keeper that was replaced: it names the other one, and
	// nothing may be changed here any more.
	Moved string `json:"moved,omitempty"`
}

// Transition names a legal change by its number in docs/protocol.md.
type Transition string

const (
	Detach   Transition = "T1 detach"
	Attach   Transition = "T2 attach"
	Failover Transition = "T3 failover"
	HandOver Transition = "T4 hand-over"
	Force    Transition = "T8 force"
	Close    Transition = "T9 close"
)

// Change is one proposed transition. By is the server that asks; To is the
// server that shall be primary afterwards; From is the revision it starts from.
type Change struct {
	Transition Transition  `json:"transition"`
	By         pair.Server `json:"by"`
	To         pair.Server `json:"to"`
	From       Revision    `json:"from"`
	// Where names the keeper that goes on (Close).
	Where string `json:"where,omitempty"`
}

// ErrConflict tells that the record has moved on since the proposer read it.
var ErrConflict = errors.New("the record has changed meanwhile; read it again")

// Apply returns the record after the change, or why the change is not legal.
// The revision is compared first: compare-and-swap on it is all the
// synchronisation the pair has.
func (r Record) Apply(c Change) (Record, error) {
	if c.From != r.Revision {
		return r, fmt.Errorf("%s by %s from revision %d, but the record is at %d: %w", c.Transition, c.By, c.From, r.Revision, ErrConflict)
	}
	if r.Moved != "" {
		return r, fmt.Errorf("%s by %s: the record was moved to %s, and this one is closed", c.Transition, c.By, r.Moved)
	}
	next := r
	next.Revision++
	switch c.Transition {
	case Detach, Attach:
		if c.By != r.Primary || c.To != r.Primary {
			return r, fmt.Errorf("%s by %s: only the primary %s may do that", c.Transition, c.By, r.Primary)
		}
		next.Mode = pair.Alone
		if c.Transition == Attach {
			next.Mode = pair.Paired
		}
		return next, nil
	case Failover, HandOver:
		return r.succeed(next, c)
	case Force:
		next.Term, next.Primary, next.Mode, next.Forced = r.Term+1, c.To, pair.Alone, true
		if c.To == r.Primary { // whoever has taken over from this very revision, unheard, is in that term too
			next.Revision += reborn
		}
		return next, nil
	case Close:
		return r.close(next, c)
	}
	return r, fmt.Errorf("%q is not a transition of the record", c.Transition)
}

// succeed passes the reign to the other server. Only a paired record allows it:
// while it is alone, the other server may lack acknowledged commits.
func (r Record) succeed(next Record, c Change) (Record, error) {
	if r.Mode != pair.Paired {
		return r, fmt.Errorf("%s to %s: the record is %s, so %s may lack acknowledged commits; only an operator may force it", c.Transition, c.To, r.Mode, c.To)
	}
	if c.To == r.Primary {
		return r, fmt.Errorf("%s to %s: it is the primary already", c.Transition, c.To)
	}
	if c.Transition == Failover && c.By != c.To {
		return r, fmt.Errorf("%s to %s by %s: a standby takes over for itself only", c.Transition, c.To, c.By)
	}
	if c.Transition == HandOver && c.By != r.Primary {
		return r, fmt.Errorf("%s to %s by %s: only the primary %s hands over", c.Transition, c.To, c.By, r.Primary)
	}
	next.Term, next.Primary, next.Mode, next.Forced = r.Term+1, c.To, pair.Alone, false
	return next, nil
}

// close leaves a tombstone. Only an alone record may be closed: nobody can be made
// primary by what it says, so it does no harm that somebody may still read it.
func (r Record) close(next Record, c Change) (Record, error) {
	switch {
	case c.By != r.Primary || c.To != r.Primary:
		return r, fmt.Errorf("%s by %s: only the primary %s may do that", c.Transition, c.By, r.Primary)
	case r.Mode != pair.Alone:
		return r, fmt.Errorf("%s by %s: the record is %s; detach the standby first", c.Transition, c.By, r.Mode)
	case c.Where == "":
		return r, fmt.Errorf("%s by %s: it does not say where the record goes", c.Transition, c.By)
	}
	next.Moved = c.Where
	return next, nil
}

// First is the record of a new pair: the primary is alone until its standby attaches.
func First(pairName string, primary pair.Server) Record {
	return Record{Pair: pairName, Term: 1, Primary: primary, Mode: pair.Alone, Revision: 1}
}

// Exists tells a record from the answer "there is none yet".
func (r Record) Exists() bool { return r.Revision > 0 }

// NewerThan orders two sightings of the same pair's record.
func (r Record) NewerThan(o Record) bool {
	if r.Term != o.Term {
		return r.Term > o.Term
	}
	return r.Revision > o.Revision
}

func (r Record) String() string {
	if !r.Exists() {
		return "no record"
	}
	forced := ""
	if r.Forced {
		forced = ", forced"
	}
	moved := ""
	if r.Moved != "" {
		moved = ", moved to " + r.Moved
	}
	return fmt.Sprintf("term %d, primary %s, %s%s%s (revision %d)", r.Term, r.Primary, r.Mode, forced, moved, r.Revision)
}
