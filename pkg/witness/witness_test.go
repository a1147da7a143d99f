package witness

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// seeded starts a witness whose pair "lab" has server1 as primary, paired.
func seeded(t *testing.T) (h *host, s1, s2 *server, r record.Record) {
	t.Helper()
	return seededFor(t, forgiving)
}

// seededFor has a heartbeat timeout of its own.
func seededFor(t *testing.T, timeout time.Duration) (h *host, s1, s2 *server, r record.Record) {
	t.Helper()
	h = newHost(t)
	h.timeout = timeout
	h.start(t)
	s1, s2 = h.connect(t, "lab", "server1"), h.connect(t, "lab", "server2")
	s1.report(wire.WitnessUp, record.First("lab", "server1"))
	s2.report(wire.WitnessUp, record.Record{})
	r, err := s1.change(record.Attach, "server1", s1.read().Revision)
	must(t, err)
	return h, s1, s2, r
}

func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, wire.ErrRefused) {
		t.Errorf("%s: want a clear no, got %v", what, err)
	}
}

func TestRecordIsFoundAgainAlone(t *testing.T) {
	h := newHost(t)
	h.start(t)
	s1 := h.connect(t, "lab", "server1")
	own := record.Record{Pair: "lab", Term: 7, Primary: "server1", Mode: pair.Paired, Revision: 40}
	if v := s1.report(wire.WitnessUp, own); v.Record.Exists() || v.OtherHeard {
		t.Errorf("with one server only: %+v", v)
	}
	_, err := s1.change(record.Detach, "server1", 40)
	wantRefused(t, "a change without a record", err)
	s2 := h.connect(t, "lab", "server2")
	want := own
	want.Mode = pair.Alone   // whatever the lost witness has promised meanwhile
	want.Revision += 1 << 20 // far beyond what the lost witness may have written
	stale := record.Record{Pair: "lab", Term: 6, Primary: "server2", Mode: pair.Alone, Revision: 99}
	if v := s2.report(wire.WitnessDown, stale); v.Record != want || !v.OtherHeard || v.OtherPostgresDown {
		t.Errorf("with both servers: %+v", v)
	}
	if v := s1.report(wire.WitnessUp, own); v.Record != want || !v.OtherPostgresDown {
		t.Errorf("told to the first: %+v", v)
	}
}

// The newest term counts also when the server it names has forgotten it: it was
// granted once, and the other one may have made room for it.
func TestANewTermThatItsPrimaryForgot(t *testing.T) {
	h := newHost(t)
	h.start(t)
	s1, s2 := h.connect(t, "lab", "server1"), h.connect(t, "lab", "server2")
	s1.report(wire.WitnessUp, record.Record{Pair: "lab", Term: 7, Primary: "server2", Mode: pair.Alone, Revision: 31})
	s2.report(wire.WitnessUp, record.Record{Pair: "lab", Term: 6, Primary: "server1", Mode: pair.Paired, Revision: 30})
	if r := s1.read(); r.Term != 7 || r.Primary != "server2" || r.Mode != pair.Alone || r.Revision <= 31 {
		t.Errorf("the witness found %v", r)
	}
}

// A record of another pair on a server is a mistake of its operator.
func TestForeignCopyIsRefused(t *testing.T) {
	h := newHost(t)
	h.start(t)
	s1 := h.connect(t, "lab", "server1")
	report := wire.WitnessReport{Postgres: wire.WitnessUp, Known: record.First("shop", "server1")}
	wantRefused(t, "report", s1.Call(t.Context(), wire.KindReport, report, nil))
}

func TestKilledWitnessKeepsTheRecord(t *testing.T) {
	h, s1, _, r := seeded(t)
	for range 5 {
		var err error
		r, err = s1.change(record.Detach, "server1", r.Revision)
		must(t, err)
		h.kill() // at once after the answer
		h.start(t)
		s1 = h.connect(t, "lab", "server1")
		if got := s1.read(); got != r {
			t.Fatalf("after kill -9: %v, want %v", got, r)
		}
	}
}

func TestCompareAndSwap(t *testing.T) {
	_, s1, s2, r := seeded(t)
	results := make(chan error, 20)
	for range cap(results) {
		go func() {
			_, err := s1.change(record.Detach, "server1", r.Revision)
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, record.ErrConflict) {
			t.Errorf("a loser got %v", err)
		}
	}
	if now := s2.read(); won != 1 || now.Revision != r.Revision+1 || now.Mode != pair.Alone {
		t.Errorf("%d of %d won, the record is %v", won, cap(results), now)
	}
}

func TestFailoverIsRefusedWhileThePrimaryIsHeard(t *testing.T) {
	t.Parallel()
	_, s1, s2, r := seededFor(t, waitedFor)
	defer s1.keepSaying(wire.WitnessUp, r)()
	time.Sleep(waitedFor + waitedFor/4) // past the start's grace and what was said before
	_, err := s2.change(record.Failover, "server2", r.Revision)
	wantRefused(t, "the primary is heard", err)
}

// The closed connection counts, not the timeout.
func TestFailoverWhenThePrimaryHasGone(t *testing.T) {
	_, s1, s2, r := seeded(t)
	must(t, s1.Close())
	var next record.Record
	var err error
	for end := time.Now().Add(forgiving / 2); ; {
		if next, err = s2.change(record.Failover, "server2", r.Revision); err == nil || time.Now().After(end) {
			break
		}
	}
	must(t, err)
	if next.Primary != "server2" || next.Term != r.Term+1 || next.Mode != pair.Alone {
		t.Errorf("the record is %v", next)
	}
}

func TestFailoverFromASilentPrimary(t *testing.T) {
	t.Parallel()
	_, s1, s2, r := seededFor(t, waitedFor)
	s1.report(wire.WitnessUp, r)
	time.Sleep(waitedFor / 4)
	_, err := s2.change(record.Failover, "server2", r.Revision)
	wantRefused(t, "heard a moment ago", err)
	time.Sleep(waitedFor)
	_, err = s2.change(record.Failover, "server2", r.Revision)
	must(t, err)
}

func TestFailoverWhenThePrimaryReportsDown(t *testing.T) {
	_, s1, s2, r := seeded(t)
	s1.report(wire.WitnessDown, r)
	_, err := s2.change(record.Failover, "server2", r.Revision)
	must(t, err)
}

// A witness that has just been started has not had the chance to hear the primary.
func TestNewWitnessWaitsForThePrimary(t *testing.T) {
	t.Parallel()
	h, _, _, r := seededFor(t, waitedFor)
	h.kill()
	h.start(t)
	s2 := h.connect(t, "lab", "server2")
	_, err := s2.change(record.Failover, "server2", r.Revision)
	wantRefused(t, "just started", err)
	time.Sleep(waitedFor + 50*time.Millisecond)
	_, err = s2.change(record.Failover, "server2", r.Revision)
	must(t, err)
}

func TestAlonePrimaryIsNotReplaced(t *testing.T) {
	_, s1, s2, r := seeded(t)
	r, err := s1.change(record.Detach, "server1", r.Revision)
	must(t, err)
	s1.report(wire.WitnessDown, r)
	_, err = s2.change(record.Failover, "server2", r.Revision)
	wantRefused(t, "alone", err)
}

func TestNobodySpeaksForAnother(t *testing.T) {
	h, s1, s2, r := seeded(t)
	c := wire.ChangeRequest{Change: record.Change{Transition: record.Detach, By: "server1", To: "server1", From: r.Revision}}
	wantRefused(t, "server2 as server1", s2.Call(t.Context(), wire.KindChange, c, nil))
	third := h.connect(t, "lab", "server3")
	wantRefused(t, "a third server", third.Call(t.Context(), wire.KindReport, wire.WitnessReport{}, nil))
	wantRefused(t, "status over TLS", s1.Call(t.Context(), wire.KindStatus, nil, nil))
	wantRefused(t, "nonsense", s1.Call(t.Context(), "dance", nil, nil))
	wantRefused(t, "a change that is none", s1.Call(t.Context(), wire.KindChange, "x", nil))
	_, err := s1.change("T9 whatever", "server1", r.Revision)
	wantRefused(t, "an unknown transition", err)
	_, err = s1.change(record.HandOver, "../server2", r.Revision)
	wantRefused(t, "a name that is none", err)
}

// Pairs with the same server names have nothing to do with each other.
func TestPairsAreApart(t *testing.T) {
	h, s1, _, r := seeded(t)
	o1, o2 := h.connect(t, "shop", "server1"), h.connect(t, "shop", "server2")
	if got := o1.read(); got.Exists() {
		t.Fatalf("another pair is shown %v", got)
	}
	o1.report(wire.WitnessUp, record.First("shop", "server1"))
	o2.report(wire.WitnessUp, record.Record{})
	other, err := o1.change(record.Attach, "server1", 2)
	must(t, err)
	_, err = o1.change(record.HandOver, "server2", other.Revision)
	must(t, err)
	if got := s1.read(); got != r {
		t.Errorf("a change of shop made lab %v, it was %v", got, r)
	}
	if got := o2.read(); got.Primary != "server2" || got.Pair != "shop" {
		t.Errorf("shop is %v", got)
	}
}

func TestErrorsTellWhatToDo(t *testing.T) {
	_, _, s2, r := seeded(t)
	_, err := s2.change(record.Detach, "server2", r.Revision)
	if err == nil || !strings.Contains(err.Error(), "only the primary server1 may do that") {
		t.Errorf("got %v", err)
	}
}
