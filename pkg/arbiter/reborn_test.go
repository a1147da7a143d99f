package arbiter

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// loseRecords kills the witness, empties its directory and starts it anew.
func (h *host) loseRecords(t *testing.T) {
	t.Helper()
	h.kill()
	must(t, os.Remove(filepath.Join(h.records, "lab.json")))
	h.start(t)
}

// The record is found again as alone, and the pair attaches and fails over by it as
// by any other. What was asked from the lost one is refused.
func TestWitnessThatLostItsRecordsFindsThemAlone(t *testing.T) {
	h, s1, s2, r := seeded(t)
	h.loseRecords(t)
	s2.until("the record found again", s2.sees(func(now record.Record) bool { return now.Revision > r.Revision+1000 }))
	found, err := s1.Read(t.Context())
	must(t, err)
	if found.Term != r.Term || found.Primary != "server1" || found.Mode != pair.Alone {
		t.Errorf("of %v was found %v", r, found)
	}
	if _, err := s1.Change(t.Context(), detach(r.Revision)); !errors.Is(err, record.ErrConflict) {
		t.Errorf("a change from the lost record: %v", err)
	}
	var refused *Refused
	if _, err := s2.Change(t.Context(), takeOver(found.Revision)); !errors.As(err, &refused) {
		t.Errorf("a take-over while it is alone: %v", err)
	}
	_, err = s1.Change(t.Context(), record.Change{Transition: record.Attach, By: "server1", To: "server1", From: found.Revision})
	must(t, err)
}

// A server was granted the reign; neither its caller nor any disk knows yet. It is
// found again nevertheless: the server may act upon it.
func TestWhatTheKeeperHasGrantedIsToldToTheNextOne(t *testing.T) {
	h, s1, s2, r := seeded(t)
	s1.say(wire.WitnessDown)
	s2.until("server1 down", s2.OtherPostgresDown)
	granted, err := s2.Change(t.Context(), takeOver(r.Revision))
	must(t, err)
	h.loseRecords(t)
	s1.until("the record found again", s1.sees(func(now record.Record) bool { return now.Revision > r.Revision+1000 }))
	if found, _, _ := s1.Seen(); found.Term != granted.Term || found.Primary != "server2" {
		t.Errorf("granted was %v, found %v: two servers could reign", granted, found)
	}
}

// An answer that arrives over a connection and is looked at after its end is none:
// the witness may have lost its records and found them again without it.
func TestAnAnswerOfAnEarlierConnectionIsNone(t *testing.T) {
	h, s1, s2, r := seeded(t)
	w := s2.Keeper.(*remote)
	before := w.connection()
	h.kill()
	s2.until("unreachable", func() bool { _, _, reachable := s2.Seen(); return !reachable })
	late := r
	late.Term, late.Primary, late.Mode, late.Revision = r.Term+1, "server2", pair.Alone, r.Revision+1
	if err := w.learn(late, before); !errors.Is(err, errLate) {
		t.Fatalf("learned: %v", err)
	}
	must(t, os.Remove(filepath.Join(h.records, "lab.json")))
	h.start(t)
	s1.until("the record found again", s1.sees(func(now record.Record) bool { return now.Revision > r.Revision+1000 }))
	if found, _, _ := s1.Seen(); found.Term != r.Term {
		t.Errorf("nobody may act upon %v, yet it was found: %v", late, found)
	}
	if err := w.learn(late, w.connection()); err != nil {
		t.Errorf("over the present connection: %v", err)
	}
}
