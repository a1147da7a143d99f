package cli

import (
	"context"
	"errors"
	"time"
)

// errTimeout is the cause of a context that ended by --timeout.
var errTimeout = errors.New("timed out")

// isInterrupted tells that a command's user has ended it, and not its time.
func isInterrupted(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout)
}

// isCut tells the end of a command, by its time or its user, from what came of it.
func isCut(err error) bool {
	return errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// cutShort is why a command ends before what it has begun: its user ends it, or that is late.
func cutShort(ctx context.Context, late string, timeout time.Duration) string {
	return yes(isInterrupted(ctx), "interrupted", late+" after "+timeout.String())
}
