package arbiter

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

var pairedRecord = record.Record{Pair: "p", Term: 3, Primary: "server1", Mode: pair.Paired, Revision: 7}

// The standby took over and was lost, and who was primary before is forced without knowing
// of that: when they meet, one of the two reigns and both say which.
func TestAPrimaryThatIsForcedReignsOverATakeOverUnheard(t *testing.T) {
	one, two := newCommandKeeper(t, "server1", pairedRecord, silent), newCommandKeeper(t, "server2", pairedRecord, silent)
	if _, err := two.Told(pairedRecord); err != nil {
		t.Fatal(err)
	}
	two.Fenced(two.Meetings())
	granted(t, two, record.Failover, "server2")
	granted(t, one, record.Force, "server1")
	one.peer, two.peer = func() (record.Record, bool) { return two.own.Get(), true }, func() (record.Record, bool) { return one.own.Get(), true }
	for _, c := range []*Command{one, two} {
		if r, _, reached := c.Seen(); r.Primary != "server1" || !r.Forced || !reached {
			t.Errorf("%s goes by %s, reached: %v", c.me, r, reached)
		}
	}
}

// newCommandKeeper is one of a server that starts with this copy and hears nobody.
func newCommandKeeper(t *testing.T, me pair.Server, r record.Record, ask func(context.Context, record.Record) error) *Command {
	t.Helper()
	own, err := OpenCopy(durable.Machine, filepath.Join(t.TempDir(), "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Save(r); err != nil {
		t.Fatal(err)
	}
	return NewCommand(Machine, own, me, nobody, ask)
}

func silent(context.Context, record.Record) error { return wire.ErrNoAnswer }

// refused: a change has no leave.
func refused(t *testing.T, c *Command, kind record.Transition, to pair.Server) {
	t.Helper()
	r := c.own.Get()
	var no *Refused
	if _, err := c.Change(t.Context(), record.Change{Transition: kind, By: c.me, To: to, From: r.Revision}); !errors.As(err, &no) {
		t.Errorf("%s: %v, want a clear no", kind, err)
	}
	if c.own.Get() != r {
		t.Errorf("%s was refused and written", kind)
	}
}

func granted(t *testing.T, c *Command, kind record.Transition, to pair.Server) {
	t.Helper()
	if _, err := c.Change(t.Context(), record.Change{Transition: kind, By: c.me, To: to, From: c.own.Get().Revision}); err != nil {
		t.Errorf("%s: %v", kind, err)
	}
}

func wantLeave(t *testing.T, c *Command, want Leave) {
	t.Helper()
	if got := c.Leave(); got != want {
		t.Errorf("leave is %d, want %d", got, want)
	}
}

func TestAStandbyTakesOverOnlyToldAndAfterFencing(t *testing.T) {
	c := newCommandKeeper(t, "server2", pairedRecord, silent)
	wantLeave(t, c, LeaveDenied) // restarted: nobody has told it
	c.Fenced(c.Meetings())
	refused(t, c, record.Failover, "server2")
	if _, err := c.Told(pairedRecord); err != nil {
		t.Fatal(err)
	}
	wantLeave(t, c, LeaveNeeded)
	refused(t, c, record.Failover, "server2")

	begun := c.Meetings()
	if _, err := c.Told(pairedRecord); err != nil {
		t.Fatal(err)
	}
	if c.Fenced(begun) {
		t.Error("a fencing counts although the primary was met since it began")
	}
	if !c.Fenced(c.Meetings()) {
		t.Error("a fencing does not count")
	}
	wantLeave(t, c, LeaveGiven)
	if _, err := c.Told(pairedRecord); err != nil { // the primary is back
		t.Fatal(err)
	}
	refused(t, c, record.Failover, "server2")
	c.Fenced(c.Meetings())
	granted(t, c, record.Failover, "server2")
	if _, err := c.Told(pairedRecord); err == nil {
		t.Error("the old primary was told that nothing is newer")
	}
}

func TestAStandbyThatGaveItsWordTakesNoOlderTelling(t *testing.T) {
	c := newCommandKeeper(t, "server2", pairedRecord, silent)
	if err := c.Waive(pairedRecord); err != nil {
		t.Fatal(err)
	}
	if waived, err := c.Told(pairedRecord); !waived || err != nil {
		t.Errorf("waived %v, %v", waived, err)
	}
	wantLeave(t, c, LeaveDenied)
	next := pairedRecord
	next.Revision++
	if waived, err := c.Told(next); waived || err != nil {
		t.Errorf("waived %v, %v", waived, err)
	}
	wantLeave(t, c, LeaveNeeded)
}

func TestARestartedPrimaryDoesNothingBeforeItHasMetTheStandby(t *testing.T) {
	c := newCommandKeeper(t, "server1", pairedRecord, silent)
	if _, _, reached := c.Seen(); reached {
		t.Error("it relies on its copy")
	}
	wantLeave(t, c, LeaveDenied)
	c.Fenced(c.Meetings())
	refused(t, c, record.Detach, "server1")
	r, due := c.Telling()
	if !due {
		t.Fatal("nobody is told")
	}
	if err := c.Answered(t.Context(), r, false); err != nil {
		t.Fatal(err)
	}
	wantLeave(t, c, LeaveNeeded)
	refused(t, c, record.Detach, "server1")
	c.Fenced(c.Meetings())
	granted(t, c, record.Detach, "server1")
}

// A primary that was replaced while it was down, and is handed the reign back in the
// same run, has met the standby: what it pledges then can be recorded.
func TestAReignThatWasHandedBackCanBePledged(t *testing.T) {
	c := newCommandKeeper(t, "server1", pairedRecord, silent)
	for _, r := range []record.Record{
		{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 8},
		{Pair: "p", Term: 5, Primary: "server1", Mode: pair.Alone, Revision: 9},
		{Pair: "p", Term: 5, Primary: "server1", Mode: pair.Paired, Revision: 9}, // the pledge (T2, step 6)
	} {
		if err := c.own.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	granted(t, c, record.Attach, "server1")
}

func TestAWordIsVoidWhenTheStandbyWasToldMeanwhile(t *testing.T) {
	var c *Command
	tells := true
	c = newCommandKeeper(t, "server1", pairedRecord, func(context.Context, record.Record) error {
		if tells {
			c.Lost()
			c.Telling()
			c.Unanswered()
		}
		return nil
	})
	r, _ := c.Telling()
	if err := c.Answered(t.Context(), r, false); err != nil {
		t.Fatal(err)
	}
	refused(t, c, record.Detach, "server1")
	tells = false
	granted(t, c, record.Detach, "server1")
}

// What is on its way may reach the process that is started after a fencing.
func TestAFencingCountsOnlyWhenNoTellingIsOnItsWay(t *testing.T) {
	word := func(context.Context, record.Record) error { return nil }
	for _, ask := range []func(context.Context, record.Record) error{silent, word} {
		c := newCommandKeeper(t, "server1", pairedRecord, ask)
		r, _ := c.Telling()
		if err := c.Answered(t.Context(), r, false); err != nil {
			t.Fatal(err)
		}
		c.Lost()
		if _, due := c.Telling(); !due {
			t.Fatal("nobody is told anew")
		}
		if c.Fenced(c.Meetings()) {
			t.Error("a fencing counts")
		}
		refused(t, c, record.Detach, "server1")
		c.Unanswered()
		if !c.Fenced(c.Meetings()) {
			t.Error("a fencing does not count")
		}
		granted(t, c, record.Detach, "server1")
	}
}

// A standby whose word got lost on the way takes over no more, and nothing else shows it.
func TestAStandbyThatWasAskedForItsWordIsToldAgain(t *testing.T) {
	c := newCommandKeeper(t, "server1", pairedRecord, silent)
	r, _ := c.Telling()
	if err := c.Answered(t.Context(), r, false); err != nil || !c.Settled() {
		t.Fatal(err, c.Settled())
	}
	refused(t, c, record.Detach, "server1")
	if c.Settled() {
		t.Error("it counts as told, although it may have given its word")
	}
	again, due := c.Telling()
	if !due || again != r {
		t.Errorf("told again: %v, %s", due, again)
	}
}

// The answers to a telling and to a question for the word are heard in any order: a standby
// that was told and then gave its word takes over no more, and must be told again.
func TestAnAnswerThatTheStandbysWordHasOvertakenIsNone(t *testing.T) {
	s := newCommandKeeper(t, "server2", pairedRecord, silent)
	c := newCommandKeeper(t, "server1", pairedRecord, func(_ context.Context, r record.Record) error { return s.Waive(r) })
	tell := func() (r record.Record, waived bool) {
		t.Helper()
		r, due := c.Telling()
		waived, err := s.Told(r)
		if !due || err != nil {
			t.Fatalf("told %t: %v", due, err)
		}
		return r, waived
	}
	r, waived := tell()
	if err := c.Answered(t.Context(), r, waived); err != nil {
		t.Fatal(err)
	}
	c.Lost()
	r, waived = tell()
	refused(t, c, record.Detach, "server1")
	for range 3 { // its word was not used: first that must be heard, then a newer revision be told
		if err := c.Answered(t.Context(), r, waived); err != nil {
			t.Fatal(err)
		}
		if c.Settled() && s.Leave() == LeaveDenied {
			t.Fatal("the primary takes it for told, and it was not")
		}
		if c.Settled() {
			return
		}
		r, waived = tell()
	}
	t.Errorf("the standby is never told: %s", r)
}

func TestALonePrimaryNeedsNobody(t *testing.T) {
	alone := pairedRecord
	alone.Mode = pair.Alone
	c := newCommandKeeper(t, "server1", alone, silent)
	wantLeave(t, c, LeaveGiven)
	if _, _, reached := c.Seen(); !reached {
		t.Error("it does not rely on its copy")
	}
	if _, due := c.Telling(); due {
		t.Error("it tells that they are paired")
	}
}

func TestARecordThatTheWordCoversIsWrittenOnceMore(t *testing.T) {
	c := newCommandKeeper(t, "server1", pairedRecord, silent)
	r, _ := c.Telling()
	if err := c.Answered(t.Context(), r, true); err != nil {
		t.Fatal(err)
	}
	if now := c.own.Get(); now.Revision != r.Revision+1 || now.Mode != pair.Paired {
		t.Errorf("the record is %s", now)
	}
	if _, due := c.Telling(); !due {
		t.Error("the new revision is not told")
	}
}

// The connection over which a telling was answered has ended before the answer is
// noted: whoever is there now may not have been told.
func TestAnAnswerOverAConnectionThatHasEndedIsNone(t *testing.T) {
	for _, waived := range []bool{false, true} {
		c := newCommandKeeper(t, "server1", pairedRecord, silent)
		r, _ := c.Telling()
		c.Lost()
		if err := c.Answered(t.Context(), r, waived); err != nil {
			t.Fatal(err)
		}
		if c.Settled() || c.own.Get() != r {
			t.Errorf("waived %v: it counts as told: %s", waived, c.own.Get())
		}
		wantLeave(t, c, LeaveDenied)
		r, due := c.Telling()
		if !due {
			t.Errorf("waived %v: whoever is there now is not told", waived)
		}
		if err := c.Answered(t.Context(), r, false); err != nil || !c.Settled() {
			t.Errorf("waived %v: %v, settled %v", waived, err, c.Settled())
		}
	}
}

// TestAnEndedReignHoldsNobodyBack: a server that was started as a paired primary, found
// the other one reigning and was handed the next term, knows who may have taken over.
func TestAnEndedReignHoldsNobodyBack(t *testing.T) {
	c := newCommandKeeper(t, "server1", pairedRecord, silent)
	refused(t, c, record.Attach, "server1")
	pledge := pairedRecord
	pledge.Term, pledge.Revision = 5, 12
	if err := c.own.Save(pledge); err != nil {
		t.Fatal(err)
	}
	granted(t, c, record.Attach, "server1")
}

// TestAToldPledgeCounts: the primary may have pledged and not been able to write the
// record that follows; its standby knows the revision as alone.
func TestAToldPledgeCounts(t *testing.T) {
	alone := pairedRecord
	alone.Mode = pair.Alone
	c := newCommandKeeper(t, "server2", alone, silent)
	wantLeave(t, c, LeaveDenied)
	if _, err := c.Told(pairedRecord); err != nil {
		t.Fatal(err)
	}
	wantLeave(t, c, LeaveNeeded)
	c.Fenced(c.Meetings())
	granted(t, c, record.Failover, "server2")
}

// TestAPrimaryThatHasLostItsRecordNeedsTheStandbysWord: the standby shows a record from
// which this server has gone alone since, and may have been told it.
func TestAPrimaryThatHasLostItsRecordNeedsTheStandbysWord(t *testing.T) {
	answer := wire.ErrNoAnswer
	var asked record.Record
	older := pairedRecord
	older.Revision -= 2
	for _, copied := range []record.Record{{}, older} {
		c := newCommandKeeper(t, "server1", copied, func(_ context.Context, r record.Record) error { asked = r; return answer })
		c.peer = func() (record.Record, bool) { return pairedRecord, true }
		answer = wire.ErrNoAnswer
		if err := c.Regain(t.Context()); !errors.Is(err, wire.ErrNoAnswer) || asked != pairedRecord {
			t.Errorf("without the word: %v, asked %s", err, asked)
		}
		if r, _, reached := c.Seen(); reached || r.Mode != pair.Alone || c.Problem() == "" {
			t.Errorf("without the word: seen %s, reached %v", r, reached)
		}
		wantLeave(t, c, LeaveDenied)
		for _, from := range []record.Revision{c.own.Get().Revision, pairedRecord.Revision, pairedRecord.Revision + 1<<20} {
			for _, kind := range []record.Transition{record.HandOver, record.Detach} {
				if _, err := c.Change(t.Context(), record.Change{Transition: kind, By: "server1", To: "server2", From: from}); err == nil {
					t.Errorf("%s from %d", kind, from)
				}
			}
		}
		if _, due := c.Telling(); due {
			t.Error("the standby is told what this server does not know")
		}
		answer = nil
		if err := c.Regain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, _, reached := c.Seen(); !reached || r != c.own.Get() || r.Mode != pair.Alone || r.Revision < 1000 {
			t.Errorf("with the word: seen %s, reached %v, saved %s", r, reached, c.own.Get())
		}
		wantLeave(t, c, LeaveGiven)
		refused(t, c, record.HandOver, "server2")
		granted(t, c, record.Attach, "server1")
	}
}
