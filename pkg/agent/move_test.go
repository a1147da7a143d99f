package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/board"
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
