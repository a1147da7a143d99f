package agent

import (
	"context"
	"errors"
	"sync"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// outcome is what shows how a switch ended.
type outcome struct {
	record record.Record
	open   bool // the server that it names primary
	asked  bool // of the keeper, for a switch that was left to the record
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

// outcome is the newest one. For a switch whose answer was lost the keeper is asked: while
// it saves a change its answer waits, or is none, whereas what is seen of it does not wait.
// The change may not have come to a keeper that is apart, and could be made when the switch
// was told as cut off: a record that lets it be made is written once more.
func (a *Agent) outcome(ctx context.Context) (outcome, error) {
	o := a.outcomes.read()
	if !a.jobs.LeftToRecord() {
		return o, nil
	}
	ctx, cancel := a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
	defer cancel()
	r, err := a.keeper.Read(ctx)
	if me := a.config.Me(); err == nil && r.Primary == me && r.Mode == pair.Paired && a.config.Pair.Arbiter.Apart() {
		if r, err = a.keeper.Change(ctx, record.Change{Transition: record.Attach, By: me, To: me, From: r.Revision}); err == nil {
			a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
		}
	}
	return outcome{r, o.open && r == o.record, true}, err
}

// settleJobs ends the jobs whose outcome shows.
func (a *Agent) settleJobs(ctx context.Context) error {
	for ctx.Err() == nil {
		if a.clock.Wait(ctx, -1, a.outcomes.news) {
			o, err := a.outcome(ctx)
			if err != nil {
				a.log.Debug("what became of a switch is not known yet", "error", err)
				continue
			}
			a.jobs.Settle(o.record, o.open, o.asked)
			if err := errors.Join(a.jobs.SaveEnd(), a.hands.Rebuilds.SaveEnd()); err != nil {
				a.log.Debug("the end of a job is not saved yet", "error", err)
			}
		}
	}
	return ctx.Err()
}
