package agent

import (
	"context"

	"mcctl/pkg/record"
)

// outcome is what shows how a switch ended.
type outcome struct {
	record record.Record
	open   bool // the server that it names primary
}

// outcomes carries the newest one to the goroutine that ends jobs by it: the end of a
// job is written to a disk, which may hang, and the loop must not.
type outcomes chan outcome

func (c outcomes) note(o outcome) {
	select {
	case c <- o:
	default: // the loop comes again
	}
}

// settleJobs ends the jobs whose outcome shows.
func (a *Agent) settleJobs(ctx context.Context) error {
	for {
		select {
		case o := <-a.outcomes:
			a.jobs.Settle(o.record, o.open)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
