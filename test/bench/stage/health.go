package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// How often supervisors are asked while something is awaited, and how long one may
// take to answer.
const (
	askEvery    = 20 * time.Millisecond
	answerLimit = time.Second
)

// Ask asks one supervisor for its status over the control socket, which costs less
// than a command and so can be done often.
func (s *Stage) Ask(ctx context.Context, server pair.Server) (st wire.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	conn, err := wire.Dial(ctx, "unix", filepath.Join(s.Lab.Mcdir(server), "run", "control.sock"), nil)
	if err != nil {
		return st, err
	}
	defer conn.Close()
	return st, conn.Call(ctx, wire.KindStatus, nil, &st)
}

// Healthy asks both supervisors. The error says what is missing.
func (s *Stage) Healthy(ctx context.Context) (st wire.Status, err error) {
	for _, server := range []pair.Server{lab.Server1, lab.Server2} {
		st, err = s.Ask(ctx, server)
		if err != nil {
			return st, fmt.Errorf("ask %s: %w", server, err)
		}
		if !st.Healthy {
			return st, fmt.Errorf("%s says: %s, %s; next step: %s", server, st.Record, st.Summary, st.NextStep)
		}
	}
	return st, nil
}

// Await waits until both supervisors say that the pair is healthy, in the given
// term or a later one: right after a failure they may not know of it yet.
func (s *Stage) Await(ctx context.Context, term pair.Term) (wire.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		st, err := s.Healthy(ctx)
		if err == nil && st.Record.Term >= term {
			return st, nil
		}
		if Pause(ctx, askEvery) != nil {
			return st, errors.Join(fmt.Errorf("wait until the pair is healthy in term %d: %w; the lab is in %s", term, ctx.Err(), s.Lab.Dir), err)
		}
	}
}

// Pause waits, or returns the error of a ctx that ended first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
