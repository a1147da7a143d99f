package arbiter

import (
	"errors"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func TestAClosedRecordOfAWitness(t *testing.T) {
	_, s1, s2, r := seeded(t)
	closes(t, s1, s2, r)
}

func TestAClosedRecordInEtcd(t *testing.T) {
	s1, s2, r := newEtcdCluster(t).pair()
	closes(t, s1, s2, r)
}

// closes closes the record. From then on the keeper counts as unreached for both, grants
// nothing, force neither, and finds nothing again until both servers know something newer.
func closes(t *testing.T, s1, s2 *member, r record.Record) {
	t.Helper()
	shut := record.Change{Transition: record.Close, By: "server1", To: "server1", From: r.Revision, Where: "elsewhere"}
	var refused *Refused
	if _, err := s1.Change(t.Context(), shut); !errors.As(err, &refused) {
		t.Errorf("a paired record was closed: %v", err)
	}
	r, err := s1.Change(t.Context(), detach(r.Revision))
	must(t, err)
	shut.From = r.Revision
	s2.wait("alone", s2.sees(func(now record.Record) bool { return now == r }))
	closed, err := s1.Change(t.Context(), shut)
	must(t, err)
	for _, m := range []*member{s1, s2} {
		m.wait("the closed record", func() bool { _, _, reached := m.Seen(); return !reached })
		var moved *Moved
		if _, err := m.Read(t.Context()); !errors.As(err, &moved) || moved.Record != closed || !errors.Is(err, wire.ErrNoAnswer) {
			t.Errorf("a closed record is read as %v", err)
		}
		if m.Problem() != moved.Error() {
			t.Errorf("the problem is told as %q", m.Problem())
		}
	}
	force := record.Change{Transition: record.Force, By: "server2", To: "server2", From: closed.Revision}
	if _, err := s2.Change(t.Context(), force); !errors.As(err, &refused) {
		t.Errorf("a closed record was forced: %v", err)
	}
	newer := closed
	newer.Moved, newer.Revision = "", closed.Revision+1
	s1.knows(newer) // it may have heard of it from the other one
	if _, err := s1.Read(t.Context()); err == nil {
		t.Error("one server alone has opened the record")
	}
	s2.knows(newer)
	s1.wait("the record found again", s1.sees(func(now record.Record) bool {
		return now.Revision > newer.Revision && now.Mode == pair.Alone && now.Moved == ""
	}))
}

// knows changes the record that the server says it knows.
func (m *member) knows(r record.Record) {
	m.mu.Lock()
	m.report.Known = r
	m.mu.Unlock()
	m.Kick()
}
