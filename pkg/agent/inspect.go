package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

const (
	// inspectPatience bounds an inspection, and otherInspected the other server's with
	// the way there and back: together they stay below what a command waits.
	inspectPatience = 7 * time.Second
	otherInspected  = 8 * time.Second
	// progressPatience bounds what status waits for: it shall tell of a frozen server
	// rather than hang on it.
	progressPatience = 250 * time.Millisecond
)

// inspect answers how this server sees itself. It may take seconds, and holds up
// nobody but who asked.
func (a *Agent) inspect(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.InspectRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if q.Clock {
		return wire.InspectAnswer{Clock: time.Now()}, nil
	}
	side, err := a.looker.Look(ctx)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", a.config.Me(), err)
	}
	known := a.known()
	side.Supervisor = &known
	delete(side.Missing, check.Supervisor)
	return wire.InspectAnswer{Side: mustJSON(side), Clock: side.Looked}, nil
}

// known is what a check cannot see from outside.
func (a *Agent) known() check.Known {
	s := a.board.Read()
	f := a.limits.Classify(s, wire.Now())
	return check.Known{
		Record: s.Record, Linked: s.Link.Connected, LinkError: s.Link.Error, Reached: s.KeeperReached, ArbiterError: a.whyNotReached(),
		Failover: !s.FailoverOff, Held: a.held(s, f), DiskError: s.DiskError, Postgres: f.Postgres.String(), Stream: f.Stream.String(),
		Unwatched: a.opt.Unwatched != nil && a.opt.Unwatched(),
	}
}

// check answers the operator's check: what is known here, and what the other server
// sees of itself. That it does not answer is an answer.
func (a *Agent) check(ctx context.Context, _ json.RawMessage) (any, error) {
	answer := wire.CheckAnswer{Known: mustJSON(a.known())}
	ctx, cancel := context.WithTimeout(ctx, otherInspected)
	defer cancel()
	var other, clock wire.InspectAnswer
	asked := time.Now()
	err := a.link.Call(ctx, wire.KindInspect, wire.InspectRequest{Clock: true}, &clock)
	trip := time.Since(asked)
	if err == nil {
		err = a.link.Call(ctx, wire.KindInspect, wire.InspectRequest{}, &other)
	}
	if err != nil {
		answer.NoAnswer = err.Error()
		return answer, nil
	}
	answer.Other = other.Side
	// Its clock was read somewhere between asking and hearing.
	answer.Skew, answer.SkewError = clock.Clock.Sub(asked.Add(trip/2)), trip/2
	return answer, nil
}

// progress answers how far this server is with its log.
func (a *Agent) progress(ctx context.Context, _ json.RawMessage) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	return a.ownProgress(ctx)
}

func (a *Agent) ownProgress(ctx context.Context) (p postgres.Progress, err error) {
	switch s := a.board.Read(); {
	case s.PID == 0:
		return p, fmt.Errorf("PostgreSQL of %s does not run", a.config.Me())
	case s.Hung: // known, and not to be waited for once more
		return p, fmt.Errorf("PostgreSQL of %s does not answer", a.config.Me())
	}
	err = a.asked.with(ctx, func(ctx context.Context, s *postgres.Session) (err error) {
		p, err = s.Progress(ctx)
		return err
	})
	return p, err
}

// bothProgress asks both servers at once. One that does not tell is nil, with the
// reason.
func (a *Agent) bothProgress(ctx context.Context) (here, there *postgres.Progress, noHere, noThere error) {
	ctx, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	var other postgres.Progress
	asked := make(chan error, 1)
	go func() { asked <- a.link.Call(ctx, wire.KindProgress, nil, &other) }()
	own, noHere := a.ownProgress(ctx)
	if noHere == nil {
		here = &own
	}
	if noThere = <-asked; noThere == nil {
		there = &other
	}
	return here, there, noHere, noThere
}

// tellStatus answers status, with the progress of replication when that was asked for.
func (a *Agent) tellStatus(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.StatusRequest
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
	}
	a.hands.ShowLost()
	st := a.status()
	if !q.Replication {
		return st, nil
	}
	here, there, noHere, noThere := a.bothProgress(ctx)
	st.Replication = []wire.Replication{
		{Server: a.config.Me(), Error: reason(noHere)},
		{Server: a.config.Other(), Error: reason(noThere)},
	}
	for i, p := range []*postgres.Progress{here, there} {
		if p != nil {
			st.Replication[i].Seen = mustJSON(p)
		}
	}
	if st.NextStep == "" {
		st.NextStep = check.NextStep(a.config.Me(), a.config.Other(), here, there)
	}
	return st, nil
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
