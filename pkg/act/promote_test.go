package act

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// theReign is what follows copyOf(3, 8): server1 hands over to server2.
var theReign = record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 9}

// noSaving makes every writing of the management directory fail until undone.
func noSaving(t *testing.T, h *Hands) (undo func()) {
	t.Helper()
	ok(t, os.Chmod(h.Config.Dir, 0o500))
	undo = func() { ok(t, os.Chmod(h.Config.Dir, 0o700)) }
	t.Cleanup(undo)
	return undo
}

// Opened first, a server that is killed before it has saved comes back without knowing
// that it was promoted, and a keeper that has lost its records would believe it.
func TestNothingIsPromotedBeforeTheCopyIsSaved(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	ok(t, os.WriteFile(filepath.Join(server(h).Data, "standby.signal"), nil, 0o600))
	started(t, h)
	reign := copyOf(4, 9, pair.Alone)
	h.Board.Set(func(s *board.Sight) { s.Record = reign })
	undo := noSaving(t, h)
	fails(t, h.Promote(within(t)), "permission denied")
	if c := control(t, h); c.State != postgres.InArchiveRecovery {
		t.Fatalf("PostgreSQL is %s, and the copy still %s", c.State, h.Copy.Get())
	}
	undo()
	ok(t, h.Promote(within(t)))
	if c := control(t, h); c.State != postgres.InProduction || h.Copy.Get() != reign {
		t.Errorf("PostgreSQL is %s, the copy %s", c.State, h.Copy.Get())
	}
}

// The old primary is to start from a checkpoint that both have noted, also when many segments
// were written since: PostgreSQL's own checkpoint at the end of recovery frees them.
func TestTheOldPrimarysSlotReachesBackBehindTheFork(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	pid := started(t, h)
	c := control(t, h)
	for range 5 {
		sql(t, server(h), "select pg_logical_emit_message(true, 'a', 'b'); select pg_switch_wal()")
	}
	ok(t, h.Postgres.Stop(within(t), pid, postgres.Immediate))
	ok(t, os.WriteFile(filepath.Join(server(h).Data, "standby.signal"), nil, 0o600))
	started(t, h)
	h.Board.Set(func(s *board.Sight) { s.Record = copyOf(4, 9, pair.Alone) })
	ok(t, h.Promote(within(t)))
	sql(t, server(h), "checkpoint")
	if got := sql(t, server(h), "select (restart_lsn <= '"+c.Redo.String()+"'::pg_lsn)::text from pg_replication_slots where slot_name = '"+settings.Slot("server2")+"'"); got != "true" {
		t.Errorf("the slot reaches back to %s: %s", c.Redo, got)
	}
}

func TestTheOtherServerIsToldOfItsReignFromTheDisk(t *testing.T) {
	h, other := newHands(t, copyOf(3, 8, pair.Paired))
	undo := noSaving(t, h)
	fails(t, h.handedOver(within(t), theReign, limit), "permission denied")
	if other.times(wire.KindLearn) != 0 {
		t.Error("it was told what a crash here would forget")
	}
	undo()
	other.answer = func(context.Context, string, any) (any, error) {
		if got := h.Copy.Get(); got != theReign {
			t.Errorf("told while the copy is %s", got)
		}
		return nil, nil
	}
	ok(t, h.handedOver(within(t), theReign, limit))
	if other.times(wire.KindLearn) != 1 {
		t.Error("it was not told")
	}
}
