package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"mcctl/pkg/wire"
)

// notSeen is a command that does nothing, as it cannot tell what runs here.
func notSeen(mcdir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return failed(exitRefused, err, "run mcctl as the user who owns %s", mcdir)
	}
	return failed(exitRefused, err, "nothing was changed; mend that, then try again")
}

// notAsked is a command that came to nothing, as it could not ask whether a supervisor is
// well. Only one that was there and silent is to be ended, as hint says: one that this user
// may not ask is none that hangs.
func notAsked(ctx context.Context, command string, err error, hint string, args ...any) error {
	switch {
	case isInterrupted(ctx):
		return failed(exitFailed, fmt.Errorf("%s: interrupted", command), "nothing was changed")
	case isSilent(err):
		return failed(exitFailed, fmt.Errorf("%s: a supervisor is there but does not answer: %w", command, err), hint, args...)
	}
	return inCommand(command, err)
}

// isSilent tells a supervisor that was reached, or had all its time, from one that was not.
// A queue in which there is no room any more counts as time that is over.
func isSilent(err error) bool {
	var op *net.OpError
	unreached := errors.As(err, &op) && op.Op == "dial" && !op.Timeout()
	return !answered(err) && errors.Is(err, wire.ErrNoAnswer) && !unreached
}

// inCommand is an error of a step in a command: it keeps its exit status and its hint.
func inCommand(command string, err error) error {
	f := &failure{status: exitFailed, err: err}
	errors.As(err, &f)
	return &failure{f.status, fmt.Errorf("%s: %w", command, f.err), f.hint}
}
