package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// Who turns saves what it knows before: without an arbiter its copy is the record. That is
// what it has heard, and the closed record that it has read.
func TestATurnBeginsWithTheCopy(t *testing.T) {
	reign, closed := rec(2, 9, "server2", pair.Alone), rec(3, 12, "server2", pair.Alone)
	closed.Moved = "none"
	for _, c := range []struct{ shut, want record.Record }{{record.Record{}, reign}, {closed, rec(3, 12, "server2", pair.Alone)}} {
		a := someAgent(t)
		ok(t, a.own.Save(rec(1, 4, "server1", pair.Paired)))
		a.board.Note(func(s *board.Sight) { s.Learn(reign, true) })
		ok(t, a.rewrite(movePlan{next: a.config, written: true}, c.shut))
		if got := a.own.Get(); got != c.want {
			t.Errorf("after %s was read the copy says %s, want %s", c.shut, got, c.want)
		}
	}
}

// The record may be closed already, and this file alone says where it went. What is in the
// way of reading it may pass.
func TestAMoveThatCannotBeReadIsNotForgotten(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"not ours to read":         func(path string) error { return os.Chmod(path, 0) },
		"of a newer program":       func(path string) error { return os.WriteFile(path, []byte(`{"step": "prepare", "new": 1}`), 0o600) },
		"a directory in its place": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		a := someAgent(t)
		ok(t, a.rememberMove(wire.MoveRequest{Step: wire.MovePrepare}))
		ok(t, spoil(a.moveFile()))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := a.finishMove(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if _, err := os.Lstat(a.moveFile()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// seenKeeper is reached, and was seen to hold that.
type seenKeeper struct {
	arbiter.Keeper
	record record.Record
}

func (k seenKeeper) Seen() (record.Record, time.Duration, bool) { return k.record, 0, true }

// A close that an earlier run has asked for may still hang in the keeper's disk. It has lost
// once the record is paired again, and not while it is merely open.
func TestAMoveIsForgottenWhenNoCloseCanArriveAnyMore(t *testing.T) {
	a, _ := reloading(t)
	q := wire.MoveRequest{Step: wire.MovePrepare, Arbiter: map[string]string{"kind": `"witness"`, "address": `"127.0.0.1:1"`}}
	for _, c := range []struct {
		what         string
		holds        record.Record
		stale, wants bool
	}{
		{"open, and P alone", rec(1, 4, "server1", pair.Alone), true, false},
		{"paired again", rec(1, 5, "server1", pair.Paired), true, true},
		{"paired, and the move is under way", rec(1, 3, "server1", pair.Paired), false, false},
	} {
		a.keeper = seenKeeper{a.keeper, c.holds}
		if got := a.finished(t.Context(), q, c.stale); got != c.wants {
			t.Errorf("%s: forgotten %t", c.what, got)
		}
	}
}

func TestArbitersThatDifferAreToldOf(t *testing.T) {
	of := func(server pair.Server, arbiter string) wire.ServerStatus {
		return wire.ServerStatus{Server: server, Arbiter: arbiter}
	}
	for _, c := range []struct {
		here, there string
		told        bool
	}{{"none", "none", false}, {"none", "", false}, {"none", "witness at a:1", true}} {
		got := differentArbiters(of("server1", c.here), of("server2", c.there))
		if (len(got) > 0) != c.told || c.told && !strings.Contains(got[0], c.there) {
			t.Errorf("%q and %q: %q", c.here, c.there, got)
		}
	}
}

// Without an arbiter nothing is closed before the primary has turned. Until then nobody
// attaches the standby again: not when a wish is saved, and not an attach that began before.
func TestAPrimaryThatLeavesStaysAloneUntilItHasTurned(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) { s.Record = rec(2, 9, "server1", pair.Alone) })
	attaching, ends := make(chan struct{}), make(chan struct{})
	a.runner.do = func(context.Context, decide.Action) error { close(attaching); <-ends; return errors.New("given up") }
	a.runner.consider(t.Context(), decide.Rule{Do: decide.Attach}, a.runner.mark())
	received(t, attaching)
	m, left := mover{agent: a}, make(chan error, 1)
	go func() { left <- m.leave(t.Context()) }()
	select {
	case err := <-left:
		t.Errorf("it has left in the middle of an attach: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(ends)
	ok(t, received(t, left))
	ok(t, a.wish(func(w *wishes) { w.PeerFailoverOff = true }))
	s := a.board.Read()
	if f := a.limits.Classify(s, a.clock.Now()); f.Attach != decide.AttachHeld || s.Held {
		t.Errorf("after a wish was saved it is %s, by an operator %t", f.Attach, s.Held)
	}
	ok(t, m.mayClose())
	a.board.Set(func(s *board.Sight) { s.Copy = rec(2, 9, "server1", pair.Paired) })
	if err := m.mayClose(); !errors.Is(err, wire.ErrRefused) {
		t.Errorf("what was pledged is left behind: %v", err)
	}
	m.release()
	if f := a.limits.Classify(a.board.Read(), a.clock.Now()); f.Attach != decide.AttachAllowed {
		t.Errorf("the move was given up, and the standby is not attached again: %s", f.Attach)
	}
}

// The same command, called again, waits for the move that the one before it has begun.
func TestAMoveWaitsForTheOneThatIsUnderWay(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) { s.Record = rec(1, 2, "server2", pair.Paired) })
	a.moving.Lock()
	gone, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.move(gone, body(wire.MoveRequest{})); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("whoever asked has gone: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, a.moving.Unlock)
	if _, err := a.move(t.Context(), body(wire.MoveRequest{})); err == nil || !strings.Contains(err.Error(), "is not the primary now") {
		t.Errorf("its turn has come: %v", err)
	}
}
