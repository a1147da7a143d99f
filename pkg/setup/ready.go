package setup

import (
	"context"
	"errors"
	"time"

	"mcctl/pkg/postgres"
)

// letInLimit is how long a PostgreSQL that says that it accepts connections may turn us
// away: on a full disk it does so until there is room. Recovery may take any time.
const letInLimit = 10 * time.Second

var errKeptOut = errors.New("it runs, and lets nobody in")

// untilReady waits until PostgreSQL lets us in, and tells what it said if it does not.
func untilReady(ctx context.Context, in *postgres.Instance, limit time.Duration) error {
	for {
		bounded, cancel := context.WithTimeoutCause(ctx, limit, errKeptOut)
		err := in.WaitReady(bounded)
		cancel()
		pid, running := in.Postmaster()
		if !errors.Is(err, errKeptOut) || !running || in.Accepts(pid) {
			return err
		}
	}
}
