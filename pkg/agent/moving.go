package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// ErrAgain is how Run ends when the supervisor has to begin anew, with the configuration
// as it is then. PostgreSQL goes on.
var ErrAgain = errors.New("begin anew")

// ErrAgainToStop is that ErrAgain after which the next run is to be asked for a stop: an
// operator asked this one, which ended before it had carried it out.
var ErrAgainToStop = fmt.Errorf("%w, and stop", ErrAgain)

// passOn is how this run has ended, and what of an operator's it leaves to the next one.
func (a *Agent) passOn(err error) error {
	switch {
	case !errors.Is(err, ErrAgain):
		return err
	case a.leaves.Load():
		return nil
	case a.board.Read().Task == decide.TaskStop:
		return ErrAgainToStop
	}
	return err
}

// moveRetry is how often a server that has not turned yet is asked again.
const moveRetry = time.Second

func (a *Agent) moveFile() string { return a.config.Path("move.json") }

// rememberMove saves where this server is to go once the record is closed.
func (a *Agent) rememberMove(q wire.MoveRequest) error {
	if err := durable.WriteJSON(a.moveFile(), q, 0o600); err != nil {
		return err
	}
	select {
	case a.moved <- struct{}{}:
	default:
	}
	return nil
}

func (a *Agent) forgetMove() error { return durable.Remove(a.moveFile()) }

// finishMove goes on with a move that was cut off after the record was closed: no
// operator has to come back for it.
func (a *Agent) finishMove(ctx context.Context) error {
	told := ""
	for stale := true; ctx.Err() == nil; {
		var q wire.MoveRequest
		err := durable.ReadJSON(a.moveFile(), &q)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			a.clock.Wait(ctx, -1, a.moved)
			stale = false
			continue
		case err != nil: // it is written whole or not at all: a record may have been closed, whatever is in the way
			if why := err.Error(); why != told {
				told = why
				a.log.Warn("a move of the arbiter waits until it can be read; if it is over on both servers, remove the file", "error", err)
			}
			err = nil
		case a.finished(ctx, q, stale):
			err = a.forgetMove()
		}
		if err != nil {
			a.log.Warn("a move of the arbiter cannot be ended", "error", err)
		}
		if a.clock.Wait(ctx, moveRetry, a.moved) {
			stale = false
		}
	}
	return ctx.Err()
}

// finished reports whether nothing is left to be done. stale: what is remembered is of an
// earlier run of this supervisor, so nobody is in the middle of carrying it out. But a close
// that was asked for by then may be on its way to a disk that hangs, while its keeper is
// reached: it has lost (by compare-and-swap) only when the pair is paired again.
func (a *Agent) finished(ctx context.Context, q wire.MoveRequest, stale bool) bool {
	p, err := a.planMove(q)
	if err != nil {
		a.log.Warn("a move of the arbiter waits", "error", err)
		return false
	}
	if s := a.board.Read(); p.done {
		if !s.Names(a.config.Me()) {
			return true
		}
		q.Step = wire.MoveTurn
		there, err := a.askMove(ctx, q)
		return err == nil && there.Done
	}
	if r, _, reached := a.keeper.Seen(); reached {
		return stale && r.Mode == pair.Paired
	}
	shut := a.closed(ctx)
	if shut.Moved != p.next.Pair.Arbiter.String() || !a.moving.TryLock() {
		return false
	}
	defer a.moving.Unlock()
	if err := a.turn(p, shut); err != nil {
		a.log.Warn("this server does not use the new arbiter yet", "error", err)
	}
	return false
}
