package agent

import (
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// server1 and its copy, server2, begin. What the arbiter holds may be their own, or that of
// a pair which had these names before.
func TestFirstMeetingWithTheArbiter(t *testing.T) {
	none, first := record.Record{}, record.First("p", "server1")
	for what, c := range map[string]struct {
		me           pair.Server
		known, holds record.Record
		want         meeting
	}{
		"a first server, an arbiter without a record":  {"server1", first, none, ofThisPair},
		"... that has its record already":              {"server1", first, first, ofThisPair},
		"... made from what both servers told":         {"server1", first, rec(1, 2, "server1", pair.Alone), ofThisPair},
		"... of a pair in which it reigned alone":      {"server1", first, rec(5, 40, "server1", pair.Alone), ofThisPair},
		"... of a pair that had moved to server2":      {"server1", first, rec(5, 40, "server2", pair.Alone), ofFormerPair},
		"... of a pair that was paired":                {"server1", first, rec(1, 2, "server1", pair.Paired), ofFormerPair},
		"... of a pair that was as new":                {"server1", first, rec(1, 1, "server2", pair.Alone), ofFormerPair},
		"a copy, no record":                            {"server2", none, none, ofThisPair},
		"... the one that the primary told":            {"server2", first, first, ofThisPair},
		"... in which it was paired meanwhile":         {"server2", first, rec(1, 2, "server1", pair.Paired), ofThisPair},
		"... before the primary said so":               {"server2", none, first, unconfirmed},
		"... of a pair in which the other one reigned": {"server2", none, rec(5, 40, "server1", pair.Paired), unconfirmed},
		"... the same, and the primary is new":         {"server2", first, rec(5, 40, "server1", pair.Paired), unconfirmed},
		"... of a pair in which it reigned":            {"server2", none, rec(5, 40, "server2", pair.Alone), ofFormerPair},
		"... the same, the primary has spoken":         {"server2", first, rec(5, 40, "server2", pair.Paired), ofFormerPair},
		"a primary whose cluster was replaced":         {"server1", rec(5, 40, "server1", pair.Alone), rec(5, 40, "server1", pair.Alone), ofThisPair},
		"... and which is no longer the primary":       {"server1", rec(5, 40, "server1", pair.Paired), rec(6, 41, "server2", pair.Alone), ofThisPair},
		"a primary that lost its directory":            {"server1", none, rec(5, 40, "server1", pair.Paired), ofThisPair},
		"a standby that lost its directory":            {"server2", none, rec(5, 40, "server1", pair.Paired), unconfirmed},
		"a standby whose cluster was replaced":         {"server2", rec(5, 40, "server1", pair.Alone), rec(5, 40, "server1", pair.Alone), ofThisPair},
	} {
		s := board.Sight{Record: c.known, Marked: c.me == "server2"}
		if got := judgeMeeting(c.me, s, c.holds); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}
