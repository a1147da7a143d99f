package floor

import (
	"context"
	"fmt"
	"time"

	"mcctl/pkg/probe"
	"mcctl/test/bench/stage"
)

// Event names what Measure does to the pair, and the mark in its results.
type Event string

const (
	Switch Event = "switch"         // planned switch
	Kill   Event = "kill"           // postmaster of the primary, kill -9
	Detach Event = "detach standby" // postmaster of the standby, kill -9
)

// Do lets the event happen once.
func (p *Pair) Do(ctx context.Context, e Event) error {
	switch e {
	case Switch:
		return p.Switch(ctx)
	case Kill:
		return p.Kill(ctx)
	case Detach:
		return p.DetachStandby(ctx)
	default:
		return fmt.Errorf("floor: no event %q; there are %q, %q and %q", e, Switch, Kill, Detach)
	}
}

// Measure lets the event happen n times under four writers, each on a whole pair,
// and returns what they saw; the mark of each result is called as the event. The
// results up to an error come along with it.
func Measure(ctx context.Context, p *Pair, e Event, n int) ([]*probe.Result, error) {
	var results []*probe.Result
	for i := range n {
		r, err := measureOnce(ctx, p, e)
		if r != nil {
			results = append(results, r)
		}
		if err != nil {
			return results, fmt.Errorf("measure %s, run %d: %w", e, i+1, err)
		}
	}
	return results, nil
}

func measureOnce(ctx context.Context, p *Pair, e Event) (*probe.Result, error) {
	if err := p.Heal(ctx); err != nil {
		return nil, err
	}
	w, err := probe.Start(ctx, stage.Writers(p.URI()))
	if err != nil {
		return nil, err
	}
	err = around(ctx, p, e, w)
	r, errStop := w.Stop()
	if err == nil {
		err = errStop
	}
	return r, err
}

// around lets the writers come to rest before the event and after it.
func around(ctx context.Context, p *Pair, e Event, w *probe.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.WaitCalm(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	if err := p.warm(ctx); err != nil {
		return err
	}
	w.Mark(string(e))
	if err := p.Do(ctx, e); err != nil {
		return err
	}
	return w.WaitCalm(ctx, 1500*time.Millisecond)
}
