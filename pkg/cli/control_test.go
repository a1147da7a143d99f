package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

// A supervisor that ends closes connections that it has not served, and then its socket
// is gone.
func TestStatusTellsAnEndFromSilence(t *testing.T) {
	mcdir := newMcdir(t)
	ln, err := wire.ListenUnix(socketOf(mcdir), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		open, err := ln.Accept()
		if err == nil {
			err = errors.Join(open.Close(), ln.Close())
		}
		ended <- err
	}()
	if _, err := (control{mcdir}).status(t.Context()); !errors.Is(err, errNotRunning) {
		t.Errorf("the status of a supervisor that has ended: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A question that runs out of time has run into its context's end, and not into an error of
// the network that came a moment before.
func TestAQuestionThatRunsOutOfTimeHasEndedItsContext(t *testing.T) {
	mcdir := newMcdir(t)
	for range 200 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Microsecond, errTimeout)
		deadline, _ := ctx.Deadline()
		for time.Now().Before(deadline) {
			continue // without a pause, in which the context's own timer would run
		}
		if _, err := (control{mcdir}).status(ctx); err == nil || !errors.Is(context.Cause(ctx), errTimeout) {
			t.Fatalf("%v, while its context says %v", err, context.Cause(ctx))
		}
		cancel()
	}
}
