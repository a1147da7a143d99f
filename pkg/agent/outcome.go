package agent

import (
	"context"
	"errors"
	"sync"

	"mcctl/pkg/record"
)

// outcome is what shows how a switch ended.
type outcome struct {
	record record.Record
	open   bool // the server that it names primary
}

// outcomes carries the newest one to the goroutine that ends jobs by it: the end of a
// job is written to a disk, which may hang, and the loop must not.
type outcomes struct {
	mu     sync.Mutex
	newest outcome
	news   chan struct{}
}

func newOutcomes() *outcomes { return &outcomes{news: make(chan struct{}, 1)} }

func (o *outcomes) note(now outcome) {
	o.mu.Lock()
	o.newest = now
	o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default: // it is about to be read
	}
}

func (o *outcomes) read() outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.newest
}

// settleJobs ends the jobs whose outcome shows.
func (a *Agent) settleJobs(ctx context.Context) error {
	for ctx.Err() == nil {
		if a.clock.Wait(ctx, -1, a.outcomes.news) {
			o := a.outcomes.read()
			a.jobs.Settle(o.record, o.open)
			if err := errors.Join(a.jobs.SaveEnd(), a.hands.Rebuilds.SaveEnd()); err != nil {
				a.log.Debug("the end of a job is not saved yet", "error", err)
			}
		}
	}
	return ctx.Err()
}
