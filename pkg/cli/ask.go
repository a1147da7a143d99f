package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/wire"
)

// askOptions are those of a command that sends one request and prints the answer.
type askOptions struct {
	Mcdir   string
	Kind    string
	Risk    string // said before anything is asked; empty for none
	NoFence bool   // of detach
	Off     bool   // of detach
	Timeout time.Duration
}

// runAsk serves detach and attach. The supervisor answers when it is done, or says
// why it is not; where it goes on, it is asked again until the command's time is over.
func runAsk(ctx context.Context, env *Env, o *askOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	if o.Risk != "" {
		_, _ = fmt.Fprintln(env.Stdout, o.Risk)
	}
	var done wire.Done
	err := error(wire.ErrNotYet)
	for errors.Is(err, wire.ErrNotYet) && !isOver(ctx) {
		err = control{o.Mcdir}.call(ctx, o.Kind, wire.DetachRequest{NoFencing: o.NoFence, StandbyOff: o.Off}, &done)
	}
	if err != nil && isOver(ctx) && (!answered(err) || errors.Is(err, wire.ErrNotYet)) {
		return failed(exitGoingOn, fmt.Errorf("%s: %s; it goes on", o.Kind, cutShort(ctx, "not complete", o.Timeout)), "follow it: mcctl status --watch -M %s", o.Mcdir)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Stdout, yes(done.Note != "", done.Note, o.Kind+": done"))
	return err
}
