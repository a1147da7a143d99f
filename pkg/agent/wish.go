package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

type wishes = act.Wishes

// wish changes what the operator wants, durably.
func (a *Agent) wish(change func(*wishes)) error {
	a.wishing.Lock()
	defer a.wishing.Unlock()
	next := a.wishes
	change(&next)
	if next == a.wishes {
		return nil
	}
	if err := a.store.SaveWishes(next); err != nil {
		return err
	}
	a.mu.Lock()
	a.wishes = next
	a.mu.Unlock()
	a.board.Note(func(s *board.Sight) {
		s.FailoverOff, s.Held = next.FailoverOff || !a.config.Policy().Failover, next.Held
	})
	return nil
}

// lookAfter: a PostgreSQL that was left down was started by somebody. From now on it is
// started again like any other, also by a later life of the supervisor.
func (a *Agent) lookAfter() {
	if !a.leftDown.CompareAndSwap(true, false) {
		return
	}
	a.background("save that PostgreSQL is looked after", func(ctx context.Context) error {
		for {
			err := a.wish(func(w *wishes) { w.LeftDown = false })
			if err == nil || clock.Pause(a.clock, ctx, patientRetry) != nil { // its disk may be full
				return err
			}
		}
	})
}

// endOldHold drops the wish of a former reign. A detach whose primary lost its role in that
// moment leaves it there, and the attach that follows is asked of the new primary: the
// pair was made again, and a server that reigns later must not go by the old wish.
func (a *Agent) endOldHold(s board.Sight) {
	a.mu.Lock()
	held := a.wishes.Held
	a.mu.Unlock()
	if !held || !a.standsBy(s) {
		return
	}
	a.backgroundOnce(&a.endingHold, "drop the hold of a former reign", func(context.Context) error {
		err := a.wish(func(w *wishes) { w.Held = w.Held && !a.standsBy(a.board.Read()) })
		if err == nil {
			a.log.Info("a detach of a former reign is forgotten: the pair was made again", "primary", a.config.Other())
		}
		return err
	})
}

// standsBy: the record pairs this server with the other one, who is primary.
func (a *Agent) standsBy(s board.Sight) bool {
	return s.Record.Mode == pair.Paired && s.Names(a.config.Other())
}

// setFailover serves enable-failover and disable-failover, and carries them to the
// other server.
func (a *Agent) setFailover(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.FailoverRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if q.On && !a.config.Policy().Failover {
		return nil, errors.New("policy.failover is false in pair.toml: set it to true on both servers first")
	}
	if q.On { // an operator's word is newer than the last one of a server that may be gone
		a.board.Note(func(s *board.Sight) { s.PeerFailoverOff = false })
	}
	if err := a.wish(func(w *wishes) { w.FailoverOff, w.PeerFailoverOff = !q.On, w.PeerFailoverOff && !q.On }); err != nil {
		return nil, err
	}
	if q.Local {
		return wire.FailoverAnswer{}, nil
	}
	ctx, cancel := a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
	defer cancel()
	if err := a.link.Call(ctx, wire.KindFailover, wire.FailoverRequest{On: q.On, Local: true}, nil); err != nil {
		return wire.FailoverAnswer{Other: err.Error()}, nil
	}
	return wire.FailoverAnswer{Both: true}, nil
}
