package arbiter

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/clock"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// shared is two servers without an arbiter; each hears the other's copy unless cut.
type shared struct {
	paths   map[pair.Server]string
	cut     bool
	keepers map[pair.Server]Keeper
}

func newShared(t *testing.T, r record.Record) *shared {
	t.Helper()
	s := &shared{paths: map[pair.Server]string{}, keepers: map[pair.Server]Keeper{}}
	for me, other := range map[pair.Server]pair.Server{"server1": "server2", "server2": "server1"} {
		s.paths[me] = filepath.Join(t.TempDir(), "record.json")
		must(t, durable.WriteJSON(s.paths[me], r, 0o600))
		own, err := OpenCopy(durable.Machine, s.paths[me])
		must(t, err)
		s.keepers[me] = NewLocal(Machine, own, me, func() (record.Record, bool) {
			var theirs record.Record
			if s.cut {
				return theirs, false
			}
			return theirs, durable.ReadJSON(s.paths[other], &theirs) == nil
		})
	}
	return s
}

func paired() record.Record {
	return record.Record{Pair: "lab", Term: 3, Primary: "server1", Mode: pair.Paired, Revision: 9}
}

func TestLocalPrimaryHoldsTheRecord(t *testing.T) {
	s := newShared(t, paired())
	s.cut = true // it needs nobody
	next, err := s.keepers["server1"].Change(t.Context(), detach(9))
	must(t, err)
	var disk record.Record
	must(t, durable.ReadJSON(s.paths["server1"], &disk))
	if disk != next || next.Mode != pair.Alone {
		t.Errorf("answered %v, on the disk %v", next, disk)
	}
	if seen, age, reachable := s.keepers["server1"].Seen(); seen != next || age != 0 || !reachable {
		t.Errorf("seen %v, %v, %v", seen, age, reachable)
	}
	if _, err := s.keepers["server1"].Change(t.Context(), detach(9)); !errors.Is(err, record.ErrConflict) {
		t.Errorf("from an old revision: %v", err)
	}
}

func TestLocalStandbySeesThePrimarysRecord(t *testing.T) {
	s := newShared(t, paired())
	next, err := s.keepers["server1"].Change(t.Context(), detach(9))
	must(t, err)
	standby := s.keepers["server2"]
	if got, err := standby.Read(t.Context()); err != nil || got != next {
		t.Errorf("read %v, %v; want %v", got, err, next)
	}
	s.cut = true
	if _, err := standby.Read(t.Context()); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("cut off, the standby read: %v", err)
	}
	if _, _, reachable := standby.Seen(); reachable || standby.Problem() == "" {
		t.Error("cut off, the keeper is reachable")
	}
}

func TestLocalStandbyMayNotTakeOver(t *testing.T) {
	s := newShared(t, paired())
	for _, cut := range []bool{false, true} {
		s.cut = cut
		for name, c := range map[string]record.Change{
			"failover":                    takeOver(9),
			"hand-over by the standby":    {Transition: record.HandOver, By: "server2", To: "server2", From: 9},
			"in the primary's name":       {Transition: record.HandOver, By: "server1", To: "server2", From: 9},
			"detach by the standby":       {Transition: record.Detach, By: "server2", To: "server2", From: 9},
			"force in favour of another":  {Transition: record.Force, By: "server2", To: "server1", From: 9},
			"attach in the other's stead": {Transition: record.Attach, By: "server2", To: "server1", From: 9},
		} {
			_, err := s.keepers["server2"].Change(t.Context(), c)
			var refused *Refused
			if !errors.As(err, &refused) {
				t.Errorf("%s, cut %v: %v", name, cut, err)
			}
		}
	}
	if _, err := s.keepers["server1"].Change(t.Context(), takeOver(9)); err == nil {
		t.Error("a failover was written on the primary")
	}
}

// The primary writes the hand-over; then the other one holds the record.
func TestLocalHandOver(t *testing.T) {
	s := newShared(t, paired())
	next, err := s.keepers["server1"].Change(t.Context(), record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: 9})
	must(t, err)
	if got, err := s.keepers["server2"].Read(t.Context()); err != nil || got != next {
		t.Fatalf("the new primary reads %v, %v", got, err)
	}
	if _, err := s.keepers["server1"].Change(t.Context(), detach(next.Revision)); err == nil {
		t.Error("the old primary still changes the record")
	}
	attached, err := s.keepers["server2"].Change(t.Context(), record.Change{Transition: record.Attach, By: "server2", To: "server2", From: next.Revision})
	must(t, err)
	if got, err := s.keepers["server1"].Read(t.Context()); err != nil || got != attached {
		t.Errorf("the old primary reads %v, %v", got, err)
	}
}

// An operator's force is written where it is obeyed, and the old primary, back
// again, finds that it is none.
func TestLocalForce(t *testing.T) {
	s := newShared(t, paired())
	s.cut = true
	forced, err := s.keepers["server2"].Change(t.Context(), record.Change{Transition: record.Force, By: "server2", To: "server2", From: 9})
	must(t, err)
	if !forced.Forced || forced.Term != 4 {
		t.Errorf("forced to %v", forced)
	}
	s.cut = false
	if got, err := s.keepers["server1"].Read(t.Context()); err != nil || got != forced {
		t.Errorf("the old primary reads %v, %v", got, err)
	}
}

func TestLocalWithoutCopy(t *testing.T) {
	own, err := OpenCopy(durable.Machine, filepath.Join(t.TempDir(), "record.json"))
	must(t, err)
	k := NewLocal(Machine, own, "server1", nobody)
	if r, err := k.Read(t.Context()); err != nil || r.Exists() {
		t.Errorf("without a copy: %v, %v", r, err)
	}
	var refused *Refused
	if _, err := k.Change(t.Context(), detach(0)); !errors.As(err, &refused) {
		t.Errorf("a change without a record: %v", err)
	}
}

// The other server's copy was left behind when its host lost power: this one went alone
// and acknowledged since, and lost that record with its disk. An older copy is as bad.
func TestAPairedRecordThatThePrimaryHasLostIsFoundAlone(t *testing.T) {
	older := paired()
	older.Revision -= 2
	for name, copied := range map[string]record.Record{"none": {}, "an older one": older, "of another reign": {Pair: "lab", Term: 2, Primary: "server2", Mode: pair.Alone, Revision: 4}} {
		own, err := OpenCopy(durable.Machine, filepath.Join(t.TempDir(), "record.json"))
		must(t, err)
		must(t, own.Save(copied))
		k := NewLocal(Machine, own, "server1", func() (record.Record, bool) { return paired(), true })
		r, _, reached := k.Seen()
		if !reached || r.Mode != pair.Alone || r.Primary != "server1" || r.Term != 3 || r.Revision < 1000 {
			t.Errorf("copy %s: seen %s, reached %v", name, r, reached)
		}
		for _, from := range []record.Revision{paired().Revision, r.Revision} {
			if _, err := k.Change(t.Context(), record.Change{Transition: record.HandOver, By: "server1", To: "server2", From: from}); err == nil {
				t.Errorf("copy %s: handed over from %d to a server that may lack commits", name, from)
			}
		}
		must(t, own.Save(r))
		if again, _, reached := k.Seen(); again != r || !reached {
			t.Errorf("copy %s: saved, and found again as %s", name, again)
		}
	}
}

// A write that fails is not a change.
func TestLocalFailedWrite(t *testing.T) {
	s := newShared(t, paired())
	path := s.paths["server1"]
	temp := filepath.Join(filepath.Dir(path), ".record.json.mcctl-tmp")
	must(t, os.Mkdir(temp, 0o700)) // where the new file would be prepared
	must(t, os.WriteFile(filepath.Join(temp, "x"), nil, 0o600))
	if _, err := s.keepers["server1"].Change(t.Context(), detach(9)); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
	if got, err := s.keepers["server1"].Read(t.Context()); err != nil || got != paired() {
		t.Errorf("read %v, %v", got, err)
	}
}

// Who goes by the record sees it as soon as it is on the disk, and ends the action that
// was to bring it there. That action has not failed.
func TestALocalChangeThatIsOnTheDiskHasHappened(t *testing.T) {
	own, err := OpenCopy(durable.Machine, filepath.Join(t.TempDir(), "record.json"))
	must(t, err)
	must(t, own.Save(pairedRecord))
	ctx, leave := context.WithCancelCause(t.Context())
	seen := Beside{clock.Machine, func(step func() error) func(context.Context) error {
		err := step()
		leave(errLeft)
		return func(ctx context.Context) error { return cmp.Or(context.Cause(ctx), err) }
	}}
	k := NewLocal(seen, own, "server1", nobody)
	next, err := k.Change(ctx, record.Change{Transition: record.Detach, By: "server1", To: "server1", From: pairedRecord.Revision})
	if err != nil || next != own.Get() || next.Mode != pair.Alone {
		t.Errorf("got %s, %v", next, err)
	}
}
