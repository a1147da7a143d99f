package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// fence calls the site's fencing command, if there is one, for something that an
// operator asked for. Its no is the operator's no: nothing was changed. Nobody is
// fenced for a change that could not be made.
func (a *Agent) fence(ctx context.Context, operation string, skip bool) error {
	if skip || !a.fences() {
		return nil
	}
	s := a.board.Read()
	if a.limits.now().KeeperMayBeLost && !s.KeeperReached {
		return fmt.Errorf("%w: the arbiter at %s is not reached, so the record cannot change: nothing was fenced; start the arbiter first", wire.ErrRefused, a.config.Pair.Arbiter.Where())
	}
	c := a.call(hook.Fencing, s.Record)
	c.Mode, c.Operation = hook.ByOperator, operation
	if out := a.commands.runner.Do(ctx, c); !out.OK() {
		without := "--no-fencing"
		if operation == hook.OpDetach && a.fencing.keeper != nil {
			without = "--standby-is-off"
		}
		return fmt.Errorf("%w: fencing %s: %s; mend the command, or make sure by hand that %s is off and repeat with %s", wire.ErrRefused, c.Target, out, c.Target, without)
	}
	return nil
}

// prepareDetach is what comes before an operator's detach: the commands of the site,
// and last the one that can say no. A standby that is detached already needs none.
func (a *Agent) prepareDetach(ctx context.Context, body json.RawMessage) error {
	var q wire.DetachRequest
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return fmt.Errorf("read request: %w", err)
		}
	}
	s := a.board.Read()
	if board.Mode(s) == decide.Alone {
		return nil
	}
	if err := mustBeFree(s.Task); err != nil {
		return err
	}
	said := a.fencing.meetings() // a standby that is met from now on is not off
	if err := a.mayDetach(q); err != nil {
		return err
	}
	a.beforeDetach(ctx, s)
	if q.StandbyOff {
		a.fencing.byOperator(said)
		return nil
	}
	meetings := a.fencing.meetings()
	if err := a.fence(ctx, hook.OpDetach, q.NoFencing); err != nil {
		return err
	}
	if a.fences() && !q.NoFencing {
		a.fencing.byOperator(meetings)
	}
	return nil
}

// mayDetach refuses what an operator has not made sure of. Where commands arbitrate, a
// standby that is not reached may take over, for a moment without a connection too:
// that it is off must be said, and that nobody is to be fenced does not say it. Nor does
// that it is off say that it has not taken over before.
func (a *Agent) mayDetach(q wire.DetachRequest) error {
	reached := a.link.State().Connected
	switch {
	case q.StandbyOff && reached:
		return fmt.Errorf("%w: %s is reached, so it is not off: repeat without --standby-is-off", wire.ErrRefused, a.config.Other())
	case !reached && a.fencing.unmet() != "":
		return fmt.Errorf("%w: %s", wire.ErrRefused, byHand(a.fencing.unmet(), a.config.Other()))
	case a.fencing.keeper == nil || q.StandbyOff || reached || a.fences() && !q.NoFencing || a.fencing.keeper.Leave() == arbiter.LeaveGiven:
		return nil
	}
	return fmt.Errorf("%w: %s is not reached, so it cannot give its word not to take over: repeat when it is, or make sure that it is off and say so: mcctl detach --standby-is-off", wire.ErrRefused, a.config.Other())
}

// stopInOrder is a stop that nobody takes a no for, such as that of a host which goes down.
func (a *Agent) stopInOrder(ctx context.Context) error {
	a.beforeStop(ctx)
	a.beginStop()
	return nil
}

// beforeStop: on a paired standby a stop is a detach, and the site's commands come first,
// for no longer than their timeout; whoever asks a second time does not wait for them.
func (a *Agent) beforeStop(ctx context.Context) {
	s := a.board.Read()
	if a.commands != nil && s.Record.Mode == pair.Paired && !s.Names(a.config.Me()) && a.commands.detaching.Load() != uint64(s.Record.Revision) {
		a.beforeDetach(ctx, s)
	}
}

// mayStop refuses the stop of a standby for which commits would wait then: a primary whose
// PostgreSQL does not read its configuration cannot go on without it, nor one without arbiter.
func (a *Agent) mayStop(ctx context.Context) error {
	if s := a.board.Read(); !s.Names(a.config.Other()) {
		return nil
	}
	// Its reports say so too, else the next one would take the goodbye back.
	a.board.Note(func(s *board.Sight) { s.TakesLeave = true })
	var no *wire.RemoteError
	if err := a.hands.TakeLeave(ctx); !errors.As(err, &no) || !errors.Is(no, wire.ErrRefused) {
		return nil
	}
	a.board.Note(func(s *board.Sight) { s.TakesLeave = false })
	return fmt.Errorf("%w; mend that first, or stop %s all the same: mcctl stop -e", no, a.config.Me())
}

func (a *Agent) beginStop() { a.board.Note(func(s *board.Sight) { s.Task = decide.TaskStop }) }

// fences: the site has a command for it.
func (a *Agent) fences() bool { return a.commands != nil && a.commands.runner.Has(hook.Fencing) }

// beforeDetach runs pre_detach on both servers at once and waits for their end, but
// not longer than this server's own timeout: an operator asked, no fault waits.
func (a *Agent) beforeDetach(ctx context.Context, s board.Sight) {
	if a.commands == nil {
		return
	}
	bound := a.config.Server.Commands.PreDetachTimeout.Duration + 2*hook.Grace
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("no answer within %s", bound))
	defer cancel()
	there := a.aside(func() error { return a.link.Call(ctx, wire.KindPreDetach, struct{}{}, nil) })
	a.preDetach(ctx, s)
	if err := there(ctx); err != nil {
		a.log.Warn("the other server was not told of the detach beforehand", "error", err)
	}
}

func (a *Agent) preDetach(ctx context.Context, s board.Sight) {
	a.commands.detaching.Store(uint64(s.Record.Revision))
	c := a.call(hook.PreDetach, s.Record)
	c.Mode = hook.ByOperator
	a.commands.runner.Do(ctx, c) // how it ended is in the journal; it cannot say no
}

// preDetachHere serves the other server, where an operator asked for the detach.
func (a *Agent) preDetachHere(ctx context.Context, _ json.RawMessage) (any, error) {
	a.preDetach(ctx, a.board.Read())
	return nil, nil
}

// detachDecided calls pre_detach for a detach after a fault: clients wait, so the
// detach does not wait for the command.
func (a *Agent) detachDecided(rule decide.Rule) {
	s := a.board.Read()
	if rule.Do != decide.Detach || a.commands == nil || a.commands.detaching.Swap(uint64(s.Record.Revision)) == uint64(s.Record.Revision) {
		return
	}
	a.commands.runner.Post(a.call(hook.PreDetach, s.Record))
}

// stopOther asks the other server to stop first, waits for its end and says what came of
// it.
func (a *Agent) stopOther(ctx context.Context, q wire.StopRequest, answer *wire.StopAnswer) {
	err := a.link.Call(ctx, wire.KindStop, wire.StopRequest{KeepPostgres: q.KeepPostgres, Regardless: true}, nil)
	if err != nil {
		// It may have ended before its answer got out, or long ago.
		gone := func(s board.Sight, p decide.Peer) bool {
			return p == decide.PeerRefused && (q.KeepPostgres || s.Port == board.PortRefused)
		}
		if a.otherEnds(ctx, a.config.Pair.Timings.HeartbeatTimeout.Duration, gone) {
			answer.Notes = append(answer.Notes, fmt.Sprintf("%s was down already", a.config.Other()))
		} else {
			answer.Left = fmt.Sprintf("%s was not stopped: %v", a.config.Other(), err)
		}
		return
	}
	// A supervisor that has answered still has its end to come, and a start there would
	// find it. Where a firewall drops what nobody listens to, it falls silent instead.
	gone := func(_ board.Sight, p decide.Peer) bool { return p == decide.PeerRefused || p == decide.PeerLost }
	if !a.otherEnds(ctx, partingPatience, gone) {
		answer.Left = fmt.Sprintf("%s has said that it stops, and has not ended yet", a.config.Other())
	}
}

// otherEnds waits until what is seen of the other server says so.
func (a *Agent) otherEnds(ctx context.Context, patience time.Duration, gone func(board.Sight, decide.Peer) bool) bool {
	for end := wire.Now() + patience; wire.Now() < end && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		s := a.board.Read()
		if gone(s, a.limits.Classify(s, wire.Now()).Peer) {
			return true
		}
	}
	return false
}
