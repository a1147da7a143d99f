package agent

import (
	"context"
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// mayGoBy tells whether the arbiter's record is one to go by. Before a server has met its
// arbiter for the first time, that may be the record of a former pair of this name: by it
// production would be stopped, and a copy that never followed it opened in its place. Then
// the supervisor ends, and leaves PostgreSQL as it is. That they have met is on the disk
// before anything is done by the record; until then the arbiter counts as not reached.
func (a *Agent) mayGoBy(holds record.Record) bool {
	if !a.unmet.Load() {
		return true
	}
	s := a.board.Read()
	if !s.Known {
		return false
	}
	switch judgeMeeting(a.config.Me(), s, holds) {
	case ofFormerPair:
		a.group.stop(fmt.Errorf("the arbiter at %s holds a record of a former pair %s: %s; this server is new, and must not go by it: if nobody does, remove it there (docs/init.md), else name this pair otherwise",
			a.config.Pair.Arbiter.Where(), a.config.Pair.Name, holds))
	case ofThisPair:
		a.backgroundOnce(&a.meeting, "note that the arbiter was met", func(context.Context) error {
			if err := a.noteCluster(); err != nil {
				return err
			}
			a.unmet.Store(false)
			a.board.Note(func(*board.Sight) {})
			return nil
		})
	}
	return false
}

// meeting is what a server thinks of the arbiter's record when it sees it first.
type meeting int

const (
	ofThisPair meeting = iota
	ofFormerPair
	unconfirmed // the primary has not yet said that it goes by it
)

// judgeMeeting compares it with what the server me knows. Nobody can have paired a first
// server that begins only now, or replaced it, nor named a copy that begins only now. By a
// record in which it reigns alone it does nothing that it would not do anyway, and the
// arbiter may have made that from what both servers told it. One that has reigned is not new,
// though it lacks cluster.json: its directory came from a backup, or the cluster was replaced.
func judgeMeeting(me pair.Server, s board.Sight, holds record.Record) meeting {
	known, named := s.Record, holds.Primary == me
	first := known.Primary == me && known.Revision == 1
	switch {
	case !holds.Exists() || known.Primary == me && !first:
		return ofThisPair
	case first && !(named && holds.Mode == pair.Alone):
		return ofFormerPair
	case !first && named && (known.Exists() || s.Marked):
		return ofFormerPair
	case !named && holds.Term != known.Term:
		return unconfirmed
	}
	return ofThisPair
}
