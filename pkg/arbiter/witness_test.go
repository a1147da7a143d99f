package arbiter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// seeded is a witness with both servers connected and the record paired.
func seeded(t *testing.T) (h *host, s1, s2 *member, r record.Record) {
	t.Helper()
	h = newHost(t)
	h.start(t)
	s1 = h.member(t, "server1", record.First("lab", "server1"))
	s2 = h.member(t, "server2", record.Record{})
	s1.until("the record", s1.sees(record.Record.Exists))
	r, err := s1.Change(t.Context(), record.Change{Transition: record.Attach, By: "server1", To: "server1", From: 2})
	must(t, err)
	s2.until("paired", s2.sees(func(r record.Record) bool { return r.Mode == pair.Paired }))
	return h, s1, s2, r
}

func detach(from record.Revision) record.Change {
	return record.Change{Transition: record.Detach, By: "server1", To: "server1", From: from}
}

func takeOver(from record.Revision) record.Change {
	return record.Change{Transition: record.Failover, By: "server2", To: "server2", From: from}
}

// Each server learns by heartbeats what concerns it, without asking.
func TestViewFollowsByItself(t *testing.T) {
	_, s1, s2, r := seeded(t)
	s1.until("server2 heard", s1.OtherHeard)
	s2.until("server1 heard", s2.OtherHeard)
	s1.say(wire.WitnessDown)
	t.Logf("down seen after %v", s2.until("server1 down", s2.OtherPostgresDown))
	s1.say(wire.WitnessUp)
	s2.until("server1 up", func() bool { return !s2.OtherPostgresDown() })
	_, err := s1.Change(t.Context(), detach(r.Revision))
	must(t, err)
	if now, age, _ := s1.Seen(); now.Mode != pair.Alone || age > patience {
		t.Errorf("who changed it sees %v, %v old", now, age)
	}
	t.Logf("change seen after %v", s2.until("alone", s2.sees(func(r record.Record) bool { return r.Mode == pair.Alone })))
	s1.stop()
	t.Logf("gone seen after %v", s2.until("server1 gone", func() bool { return !s2.OtherHeard() }))
}

// A witness whose record is not on its disk answers nobody, and is not taken for one that
// could permit a failover.
func TestAWitnessThatCannotWriteIsNotReached(t *testing.T) {
	h, s1, s2, r := seeded(t)
	path := filepath.Join(h.records, "lab.json")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	if _, err := s1.Change(t.Context(), detach(r.Revision)); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a change that could not be written: %v", err)
	}
	for _, s := range []*member{s1, s2} {
		s.until("not reached", func() bool { _, _, reached := s.Seen(); return !reached && strings.Contains(s.Problem(), "lab.json") })
	}
	must(t, os.Remove(path))
	for _, s := range []*member{s1, s2} {
		s.until("reached again", s.sees(func(now record.Record) bool { return now == r && s.Problem() == "" }))
	}
}

// impatient is the server anew, with a link of the short timeout.
func (h *host) impatient(was *member, name string) *member {
	was.t.Helper()
	was.stop()
	h.timeout = shortTimeout
	return h.member(was.t, name, was.report.Known)
}

// Heartbeats without news keep the view fresh, over the same connections. Where
// the machine holds a process up it grows old all the same, and is watched anew.
func TestQuietViewStaysFresh(t *testing.T) {
	h, s1, s2, r := seeded(t)
	s1, s2 = h.impatient(s1, "server1"), h.impatient(s2, "server2")
	s1.until("server2 heard", s1.OtherHeard)
	began, before := time.Now(), 0
	s1.until("fresh views for three timeouts", func() bool {
		fresh, connections := true, 0
		for _, m := range []*member{s1, s2} {
			now, age, reachable := m.Seen()
			fresh = fresh && reachable && now == r && age <= shortTimeout
			connections += m.Keeper.(*remote).connection()
		}
		if !fresh || connections != before {
			began, before = time.Now(), connections
		}
		return time.Since(began) > 3*shortTimeout
	})
}

func TestThreeKindsOfNo(t *testing.T) {
	h, s1, s2, r := seeded(t)
	var refused *Refused
	_, err := s1.Change(t.Context(), detach(r.Revision-1))
	if !errors.Is(err, record.ErrConflict) || errors.As(err, &refused) || errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a conflict is %v", err)
	}
	_, err = s2.Change(t.Context(), takeOver(r.Revision))
	if !errors.As(err, &refused) || errors.Is(err, record.ErrConflict) || errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a refusal is %v", err)
	}
	h.kill()
	_, err = s1.Change(t.Context(), detach(r.Revision))
	if !errors.Is(err, wire.ErrNoAnswer) || errors.As(err, &refused) || errors.Is(err, record.ErrConflict) {
		t.Errorf("no answer is %v", err)
	}
	if _, err := s1.Read(t.Context()); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("a read without answer is %v", err)
	}
}

func TestKilledWitnessComesBack(t *testing.T) {
	h, s1, s2, r := seeded(t)
	h.kill()
	t.Logf("unreachable after %v", s1.until("unreachable", func() bool {
		_, _, reachable := s1.Seen()
		return !reachable && s1.Problem() != ""
	}))
	s1.until("a dead witness hears nobody", func() bool { return !s1.OtherHeard() }) // forgotten a moment later
	h.start(t)
	s1.until("the record again", s1.sees(func(now record.Record) bool { return now == r }))
	now, err := s2.Read(t.Context())
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); time.Sleep(interval) {
		now, err = s2.Read(t.Context())
	}
	must(t, err)
	if now != r {
		t.Errorf("read %v, want %v", now, r)
	}
}

func TestFrozenWitnessIsNoAnswer(t *testing.T) {
	h, s1, _, r := seeded(t)
	s1 = h.impatient(s1, "server1")
	s1.until("the record", s1.sees(record.Record.Exists))
	freeze(t, h.cmd)
	ctx, cancel := context.WithTimeout(t.Context(), shortTimeout/3)
	defer cancel()
	if _, err := s1.Change(ctx, detach(r.Revision)); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
	took := s1.until("unreachable", func() bool { _, _, reachable := s1.Seen(); return !reachable })
	t.Logf("unreachable after %v, timeout %v", took, shortTimeout)
	must(t, h.cmd.Process.Signal(syscall.SIGCONT))
	// The change whose answer was lost may have happened; reading tells.
	s1.until("an answer", s1.sees(func(now record.Record) bool { return !r.NewerThan(now) }))
}

func TestFailoverOverTheWire(t *testing.T) {
	_, s1, s2, r := seeded(t)
	s2.until("server1 heard", s2.OtherHeard)
	var refused *Refused
	if _, err := s2.Change(t.Context(), takeOver(r.Revision)); !errors.As(err, &refused) {
		t.Fatalf("the primary is heard, but: %v", err)
	}
	s1.stop()
	start := time.Now()
	next, err := s2.Change(t.Context(), takeOver(r.Revision))
	for err != nil && time.Since(start) < patience {
		next, err = s2.Change(t.Context(), takeOver(r.Revision))
	}
	must(t, err)
	t.Logf("allowed after %v", time.Since(start))
	if seen, _, _ := s2.Seen(); seen != next || next.Primary != "server2" {
		t.Errorf("the record is %v, seen %v", next, seen)
	}
}
