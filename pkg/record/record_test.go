package record

import (
	"errors"
	"testing"

	"mcctl/pkg/pair"
)

var (
	servers     = []pair.Server{"server1", "server2"}
	transitions = []Transition{Detach, Attach, Failover, HandOver, Force, Close, "T0 nonsense"}
)

// everyChange calls f with all records of two terms and all changes from them.
func everyChange(f func(Record, Change)) {
	for term := range pair.Term(2) {
		for _, primary := range servers {
			for _, mode := range []pair.Mode{pair.Paired, pair.Alone} {
				r := Record{Pair: "p", Term: term + 1, Primary: primary, Mode: mode, Revision: 5}
				for _, t := range transitions {
					for _, by := range servers {
						for _, to := range servers {
							for from := Revision(4); from <= 6; from++ {
								f(r, Change{t, by, to, from, "elsewhere"})
							}
						}
					}
				}
			}
		}
	}
}

func TestEveryChange(t *testing.T) {
	everyChange(func(r Record, c Change) {
		next, err := r.Apply(c)
		if err != nil {
			if next != r {
				t.Errorf("%v refused, yet the record changed to %s", c, next)
			}
			if (c.From != r.Revision) != errors.Is(err, ErrConflict) {
				t.Errorf("%v on %s: conflict must be told for another revision and only then: %v", c, r, err)
			}
			return
		}
		want := r.Revision + 1
		if c.Transition == Force && c.To == r.Primary {
			want += reborn
		}
		if c.From != r.Revision || next.Revision != want {
			t.Errorf("%v on %s: revision %d", c, r, next.Revision)
		}
		for _, to := range servers {
			if taken, err := r.Apply(Change{Failover, to, to, r.Revision, ""}); err == nil && c.Transition == Force && c.To == r.Primary && !next.NewerThan(taken) {
				t.Errorf("%v on %s: %s is not newer than the take-over that it does not know of, %s", c, r, next, taken)
			}
		}
		if moved := next.Primary != r.Primary; next.Term < r.Term || moved && next.Term != r.Term+1 {
			t.Errorf("%v on %s: term %d", c, r, next.Term)
		}
		if next.Primary != r.Primary && r.Mode != pair.Paired && !next.Forced {
			t.Errorf("%v on %s: the reign passed although the other server may lack commits", c, r)
		}
		if next.Mode == pair.Paired && (c.Transition != Attach || c.By != r.Primary) {
			t.Errorf("%v on %s: paired by somebody who cannot know", c, r)
		}
		if (c.Transition == Detach || c.Transition == Attach) && (next.Term != r.Term || next.Primary != r.Primary) {
			t.Errorf("%v on %s changed the reign: %s", c, r, next)
		}
	})
}

// Whatever is asked of a closed record, by whomever: it stays as it is, force too.
func TestAClosedRecordIsNeverChanged(t *testing.T) {
	closed := 0
	everyChange(func(r Record, c Change) {
		next, err := r.Apply(c)
		if err != nil || c.Transition != Close {
			return
		}
		if closed++; r.Mode != pair.Alone || c.By != r.Primary || next.Moved != "elsewhere" {
			t.Errorf("%v on %s: %s", c, r, next)
		}
		everyChange(func(_ Record, c Change) {
			c.From = next.Revision
			if after, err := next.Apply(c); err == nil || after != next {
				t.Errorf("%v on %s: %s", c, next, after)
			}
		})
	})
	if closed == 0 {
		t.Error("no record can be closed")
	}
}

// A closed record gives way only when both servers have been elsewhere since.
func TestOutlived(t *testing.T) {
	closed := Record{Pair: "p", Term: 2, Primary: "server1", Mode: pair.Alone, Revision: 9, Moved: "elsewhere"}
	older, newer := closed, closed
	older.Revision, newer.Revision = 9, 10
	open := closed
	open.Moved = ""
	for _, c := range []struct {
		of    Record
		known map[pair.Server]Record
		want  bool
	}{
		{closed, map[pair.Server]Record{"server1": newer, "server2": newer}, true},
		{closed, map[pair.Server]Record{"server1": newer, "server2": older}, false},
		{closed, map[pair.Server]Record{"server1": newer}, false},
		{open, map[pair.Server]Record{"server1": newer, "server2": newer}, false},
	} {
		if got := c.of.Outlived(c.known); got != c.want {
			t.Errorf("%s with %v: %v", c.of, c.known, got)
		}
	}
	found, err := FromKnown(map[pair.Server]Record{"server1": newer, "server2": newer})
	if err != nil || found.Moved != "" || !found.NewerThan(newer) {
		t.Errorf("found %s, %v", found, err)
	}
}

func TestJudgePrefersAPrimaryThatIsHeard(t *testing.T) {
	r := Record{Pair: "p", Term: 3, Primary: "server1", Mode: pair.Paired, Revision: 5}
	takeOver := Change{Transition: Failover, By: "server2", To: "server2", From: 5}
	for _, c := range []struct {
		seen    Sight
		allowed bool
	}{
		{Sight{}, true},
		{Sight{PostgresDown: true}, true},
		{Sight{PrimaryHeard: true}, false},
		{Sight{PrimaryHeard: true, PostgresDown: true}, true},
	} {
		if _, err := r.Judge(takeOver, c.seen); (err == nil) != c.allowed {
			t.Errorf("failover with %+v: %v, want allowed %v", c.seen, err, c.allowed)
		}
	}
	if _, err := r.Judge(Change{Transition: HandOver, By: "server1", To: "server2", From: 5}, Sight{PrimaryHeard: true}); err != nil {
		t.Errorf("the primary may always hand over: %v", err)
	}
}

func TestALateChangeCannotUndoADetach(t *testing.T) {
	r := First("p", "server1")
	attach := Change{Transition: Attach, By: "server1", To: "server1", From: r.Revision} // its answer is lost, and it may still arrive
	r, err := r.Apply(Change{Transition: Detach, By: "server1", To: "server1", From: r.Revision})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(attach); !errors.Is(err, ErrConflict) {
		t.Errorf("the late attach was applied: %v", err)
	}
}

// Whatever two servers know: the record found again is of the newest term, promises
// nothing and lets nobody take over, and no revision that anybody knows fits it.
func TestFromKnown(t *testing.T) {
	all := []Record{{}}
	everyRecord(func(r Record) { all = append(all, r) })
	for _, a := range all {
		for _, b := range all {
			got, err := FromKnown(map[pair.Server]Record{"server1": a, "server2": b})
			if !a.Exists() && !b.Exists() {
				if err == nil {
					t.Errorf("of nothing came %s", got)
				}
				continue
			}
			newest := a
			if b.NewerThan(a) {
				newest = b
			}
			if err != nil || got.Term != newest.Term || got.Primary != newest.Primary || got.Forced != newest.Forced || got.Pair != newest.Pair {
				t.Errorf("of %s and %s came %s, %v", a, b, got, err)
			}
			if got.Mode != pair.Alone {
				t.Errorf("of %s and %s came the promise %s", a, b, got)
			}
			if got.Revision <= max(a.Revision, b.Revision)+1000 {
				t.Errorf("of %s and %s came the revision %d, which the lost keeper may have given too", a, b, got.Revision)
			}
		}
	}
}

// everyRecord calls f with all records of two terms, at two revisions of each, as
// they can be: a record of one revision is the same for everybody.
func everyRecord(f func(Record)) {
	for term := range pair.Term(2) {
		for step := range Revision(2) {
			for _, mode := range []pair.Mode{pair.Paired, pair.Alone} {
				r := Record{Pair: "p", Term: term + 1, Primary: servers[term], Mode: mode, Revision: 5 + 2*Revision(term) + step, Forced: term == 1}
				f(r)
			}
		}
	}
}

func TestANewPairIsNoLostOne(t *testing.T) {
	first := First("p", "server1")
	got, err := FromKnown(map[pair.Server]Record{"server1": first, "server2": {}})
	if err != nil || got.Revision != first.Revision+1 || got.Mode != pair.Alone {
		t.Errorf("a new pair begins with %s, %v", got, err)
	}
}

func TestNewerThan(t *testing.T) {
	old, young := Record{Term: 1, Revision: 9}, Record{Term: 2, Revision: 3}
	if old.NewerThan(young) || !young.NewerThan(old) || old.NewerThan(old) {
		t.Error("the term orders first, the revision second")
	}
}
