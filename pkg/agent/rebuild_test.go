package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

var operatorHere = wire.Identity{Name: wire.LocalName}

func TestARebuildIsRefusedWhereItCouldHarm(t *testing.T) {
	theirs := rec(2, 3, "server2", pair.Paired)
	for _, c := range []struct {
		name   string
		change func(*board.Sight)
		reason string
	}{
		{"nobody has told the record", func(s *board.Sight) { s.Confirmed = false }, "the record has not been read yet"},
		{"on the primary", func(s *board.Sight) { s.Record.Primary = "server1" }, "server1 is the primary"},
		{"during a stop", func(s *board.Sight) { s.Task = decide.TaskStop }, "a stop is under way"},
		{"while it comes back by itself", func(s *board.Sight) { s.Doing, s.Progress = decide.Rejoin, "rewinding" }, "put back by itself just now (rejoin: rewinding): wait until that has ended"},
		{"while that has come to a start, which may never end", func(s *board.Sight) { s.Doing, s.Starting = decide.Rejoin, true }, "this may be the last good copy"},
		{"the primary is not reached: last good copy", func(*board.Sight) {}, "this may be the last good copy"},
	} {
		a := someAgent(t)
		a.board.Set(func(s *board.Sight) { s.Record, s.Confirmed = theirs, true; c.change(s) })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := a.Handle(ctx, operatorHere, wire.KindRebuild, body(wire.RebuildRequest{Way: wire.WayCopy}))
		cancel()
		if err == nil || !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
		if a.board.Read().Task == decide.TaskRebuild || a.hands.Rebuilds.Running() {
			t.Errorf("%s: it was begun", c.name)
		}
	}
}

// A try to come back by itself is waited for, not refused for.
func TestARebuildWaitsForATryThatIsUnderWay(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) {
		s.Record, s.Confirmed, s.Doing = rec(2, 3, "server2", pair.Paired), true, decide.Rejoin
	})
	answered := make(chan error, 1)
	go func() {
		_, err := a.Handle(t.Context(), operatorHere, wire.KindRebuild, body(wire.RebuildRequest{Way: wire.WayCopy}))
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("answered in the middle of it: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	a.board.Set(func(s *board.Sight) { s.Doing = "" })
	if err := <-answered; err == nil || !strings.Contains(err.Error(), "this may be the last good copy") {
		t.Errorf("when it is over: %v", err)
	}
}

// begun has a rebuild wait for the loop, as an operator's request leaves it.
func begun(t *testing.T) *Agent {
	t.Helper()
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) {
		s.Record, s.Confirmed, s.Task = rec(2, 3, "server2", pair.Paired), true, decide.TaskRebuild
	})
	_, _, err := a.hands.Rebuilds.Begin(wire.RebuildPlan{}, wire.RebuildRequest{Way: wire.WayCopy}, false)
	ok(t, err)
	return a
}

func TestARebuildThatWaitsIsShownAndGivenUp(t *testing.T) {
	a := begun(t)
	got, err := a.Handle(t.Context(), operatorHere, wire.KindRebuild, body(wire.RebuildRequest{Way: wire.WayAuto}))
	ok(t, err)
	if answer := got.(wire.RebuildAnswer); answer.Begun || answer.Job == nil || answer.Job.Phase != wire.RebuildWaiting {
		t.Errorf("asked again: %+v", answer)
	}
	_, err = a.Handle(t.Context(), operatorHere, wire.KindRebuildCancel, body(wire.JobRequest{}))
	ok(t, err)
	if a.board.Read().Task != decide.NoTask || a.hands.Rebuilds.Running() {
		t.Error("given up, and it still waits")
	}
	// Until the server has come back, nothing of the kind begins by itself.
	if r := a.permitted(decide.Rule{Do: decide.Rejoin}); r.Do != decide.Wait {
		t.Errorf("a rejoin is %s", r.Do)
	}
	a.dropVainRebuild(board.Sight{Record: rec(2, 3, "server2", pair.Alone)})
	if r := a.permitted(decide.Rule{Do: decide.Rejoin}); r.Do != decide.Wait {
		t.Error("forgotten before the server was well")
	}
	well := board.Sight{Record: rec(2, 3, "server2", pair.Alone)}
	well.Look.Receiver.Status = "streaming"
	a.dropVainRebuild(well)
	if r := a.permitted(decide.Rule{Do: decide.Rejoin}); r.Do != decide.Rejoin {
		t.Errorf("a rejoin after a later fault is %s", r.Do)
	}
	if _, err := a.Handle(t.Context(), otherServer, wire.KindRebuild, nil); err == nil {
		t.Error("the other server may begin a rebuild here")
	}
}

func TestARebuildEndsWhenThisServerBecomesPrimary(t *testing.T) {
	a := begun(t)
	a.dropVainRebuild(board.Sight{Task: decide.TaskRebuild, Record: rec(3, 4, "server1", pair.Alone)})
	job, err := a.hands.Rebuilds.Get("")
	ok(t, err)
	if !job.Final || !strings.Contains(job.Error, "server1 has become primary") || a.board.Read().Task != decide.NoTask {
		t.Errorf("%+v", job)
	}
}

// The supervisor that comes after one that was killed goes on with what an operator
// asked for.
func TestTheNextSupervisorGoesOnWithARebuild(t *testing.T) {
	a := begun(t)
	next, err := assemble(a.opt)
	ok(t, err)
	defer next.journal.close()
	if next.board.Read().Task != decide.TaskRebuild {
		t.Error("it was forgotten")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := next.hands.Rebuild(ctx); err == nil {
		t.Error("done without a primary")
	}
	if !next.hands.Rebuilds.Running() {
		t.Error("a supervisor that ends has ended the rebuild")
	}
}
