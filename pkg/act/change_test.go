package act

import (
	"context"
	"errors"
	"os"
	"testing"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func refuseAll(context.Context, string, any) (any, error) { return nil, errPlanned }

func TestAConflictIsLearnedFrom(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	newer := copyOf(3, 9, pair.Alone)
	ok(t, h.Copy.Save(newer)) // the keeper has moved on; the board does not know yet
	_, err := h.change(within(t), record.Detach, h.me())
	if !errors.Is(err, record.ErrConflict) {
		t.Fatalf("changed: %v", err)
	}
	if s := h.Board.Read(); s.Record != newer || !s.Confirmed {
		t.Errorf("the board holds %s, confirmed %v", s.Record, s.Confirmed)
	}
	if got := h.Copy.Get(); got != newer {
		t.Errorf("the keeper holds %s", got)
	}
}

func TestARefusalChangesNothing(t *testing.T) {
	theirs := record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Paired, Revision: 9}
	h, other := newHands(t, theirs)
	var refused *arbiter.Refused
	for name, do := range map[string]func(context.Context) error{"detach": h.Detach, "take over": h.TakeOver, "hand over": h.HandOver} {
		if err := do(within(t)); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.Copy.Get() != theirs || h.Board.Read().Record != theirs || len(other.asked) > 0 || other.kicked > 0 {
		t.Errorf("copy %s, board %s, told %q", h.Copy.Get(), h.Board.Read().Record, other.asked)
	}
}

func TestALateCopyIsNoError(t *testing.T) {
	newest := copyOf(3, 9, pair.Alone)
	h, _ := newHands(t, newest)
	ok(t, h.save(copyOf(3, 8, pair.Paired)))
	if h.Copy.Get() != newest || h.Board.Read().Copy != newest {
		t.Errorf("the copy is %s", h.Copy.Get())
	}
}

// T1: the record first. Names that are gone while the record says paired could
// lose what was acknowledged.
func TestDetachChangesTheRecordBeforeTheNames(t *testing.T) {
	h, other := newHands(t, copyOf(3, 8, pair.Paired))
	ok(t, h.writeSettings(within(t), h.primarySettings(true)))
	ok(t, os.Chmod(h.Config.Dir, 0o500)) // the keeper cannot write
	t.Cleanup(func() { _ = os.Chmod(h.Config.Dir, 0o700) })
	if err := h.Detach(within(t)); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("detached: %v", err)
	}
	if !waitsForStandby(t, h) {
		t.Error("the names went before the record")
	}
	ok(t, os.Chmod(h.Config.Dir, 0o700))
	ok(t, h.Detach(within(t)))
	if got := h.Copy.Get(); got != copyOf(3, 9, pair.Alone) || waitsForStandby(t, h) || other.kicked != 1 {
		t.Errorf("the copy is %s, kicked %d times", got, other.kicked)
	}
}

func TestHandOverDoesNotDependOnTheOthersAnswer(t *testing.T) {
	h, other := newHands(t, copyOf(3, 8, pair.Paired))
	other.answer = refuseAll
	ok(t, h.HandOver(within(t)))
	want := record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 9}
	if h.Copy.Get() != want || h.Board.Read().Record != want || other.times(wire.KindLearn) != 1 {
		t.Errorf("copy %s, board %s, told %q", h.Copy.Get(), h.Board.Read().Record, other.asked)
	}
}

// A postmaster whose data directory was moved away under it is not found by its files,
// and may be open to clients: nobody here could end it.
func TestNothingIsHandedOverWhileTheStandbyStreamsFromDataThatIsNotSeen(t *testing.T) {
	paired := copyOf(3, 8, pair.Paired)
	h, _ := newHands(t, paired)
	h.Board.Set(func(s *board.Sight) { s.Broken, s.Report.Stream = true, "streaming" })
	fails(t, h.HandOver(within(t)), "server2 still streams from a PostgreSQL of this server", h.Config.Server.DataDirectory)
	if h.Copy.Get() != paired {
		t.Errorf("the record is %s", h.Copy.Get())
	}
	h.Board.Set(func(s *board.Sight) { s.Report.Stream = "" })
	ok(t, h.HandOver(within(t)))
}

func TestUnknownActionsAreRefused(t *testing.T) {
	h := &Hands{}
	fails(t, h.Do(context.Background(), "dance"), `"dance"`)
}

func TestUntilTellsWhatItWaitedFor(t *testing.T) {
	looks := 0
	h := &Hands{Board: board.NewBoard()}
	ctx, cancel := context.WithCancelCause(context.Background())
	h.Look = func() {
		if looks++; looks == 3 {
			cancel(errPlanned)
		}
	}
	err := h.until(ctx, "the tide turns", 1, func(board.Sight) bool { return false })
	fails(t, err, "wait until the tide turns")
	if !errors.Is(err, errPlanned) || looks < 3 {
		t.Errorf("%v after %d looks", err, looks)
	}
	ok(t, h.until(ctx, "it is so already", 1, func(board.Sight) bool { return true }))
}
