package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/wire"
)

// A supervisor answers status and the like from memory. One that takes longer is
// frozen, or its machine is.
const answerTimeout = 10 * time.Second

// errNotRunning tells that nobody listens on the control socket.
var errNotRunning = errors.New("no supervisor is running here")

// control is the supervisor on this machine, reached over its control socket.
// Every call is a connection of its own: a command asks rarely, and the supervisor
// may be another one by the next question.
type control struct{ mcdir string }

// ask calls with the usual timeout.
func (c control) ask(ctx context.Context, kind string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.call(ctx, kind, request, answer)
}

// call asks for kind and decodes the answer. Its errors know their exit status.
func (c control) call(ctx context.Context, kind string, request, answer any) error {
	defer untilOver(ctx)
	conn, err := wire.Dial(ctx, "unix", socketOf(c.mcdir), nil)
	if err != nil {
		return c.explain(kind, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Call(ctx, kind, request, answer); err != nil {
		return c.explain(kind, err)
	}
	return nil
}

// untilOver waits for the end of a context whose time is over: the deadline of a connection
// comes a moment before it, and who asks the context why must hear the same.
func untilOver(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		<-ctx.Done()
	}
}

// typed are the commands behind requests of another name.
var typed = map[string]string{
	wire.KindRebuildJob: "rebuild --status", wire.KindRebuildCancel: "rebuild --cancel", wire.KindPreview: "switch --dry-run",
	wire.KindJob: "switch", wire.KindCancel: "switch", wire.KindMove: "arbiter move",
}

// inWords is an error that begins with what was typed.
type inWords struct {
	error
	text string
}

func (e inWords) Error() string { return e.text }
func (e inWords) Unwrap() error { return e.error }

// explain says what an error means to whoever typed the command.
func (c control) explain(kind string, err error) error {
	if rest, ours := strings.CutPrefix(err.Error(), kind+": "); ours && typed[kind] != "" {
		err = inWords{err, typed[kind] + ": " + rest}
	}
	var remote *wire.RemoteError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return failed(exitNotRunning, fmt.Errorf("%w: %s", errNotRunning, c.mcdir), "start it: mcctl start -M %s", c.mcdir)
	case errors.Is(err, fs.ErrPermission):
		return failed(exitFailed, fmt.Errorf("%s: %w", kind, err), "run mcctl as the user who owns %s", c.mcdir)
	case errors.Is(err, wire.ErrRefused):
		return failed(exitRefused, err, "nothing was changed; see mcctl explain -M %s", c.mcdir)
	case errors.As(err, &remote) && answered(err):
		return failed(exitFailed, err, "see mcctl status -M %s", c.mcdir)
	}
	return failed(exitFailed, err, "whether it happened is not known; see mcctl status -M %s and %s", c.mcdir, logOf(c.mcdir))
}

// answered tells an answer that says no from no answer at all. When the supervisor
// has passed the request on and got no answer itself, there is none.
func answered(err error) bool {
	var remote *wire.RemoteError
	return err == nil || errors.As(err, &remote) && !errors.Is(err, wire.ErrNoAnswer)
}

// status asks what the supervisor knows of the pair. One that is ending resets a
// connection a moment before its socket refuses the next: asking again changes nothing,
// and tells an end from silence.
func (c control) status(ctx context.Context) (st wire.Status, err error) {
	for range 5 {
		err = c.ask(ctx, wire.KindStatus, nil, &st)
		reset := errors.Is(err, wire.ErrNoAnswer) && !errors.Is(err, errNotRunning) && !errors.Is(err, context.DeadlineExceeded)
		if !reset || sleep(ctx, 20*time.Millisecond) != nil {
			return st, err
		}
	}
	return st, err
}

// restPatience is longer than a watch rests before it starts what it keeps running again.
const restPatience = 10 * time.Second

// present is status where one is to be: a supervisor that is being started again, or begins
// anew, is waited for.
func (c control) present(ctx context.Context) (st wire.Status, err error) {
	for end := time.Now().Add(restPatience); ; {
		st, err = c.status(ctx)
		if !errors.Is(err, errNotRunning) {
			return st, err
		}
		kept, unseen := isKept(c.mcdir)
		if unseen != nil {
			return st, notSeen(c.mcdir, unseen)
		}
		if !kept || time.Now().After(end) || sleep(ctx, 20*time.Millisecond) != nil {
			return st, err
		}
	}
}

// isKept: somebody keeps a supervisor running here, or it is still coming up or ending.
func isKept(mcdir string) (bool, error) {
	pid, err := oneOf(mcdir, watchOf, supervisorOf)
	return pid != 0, err
}

// isOver tells that a command's own time has ended, or its user has ended it. A
// connection keeps the deadline by a clock of its own and may end a moment before ctx.
func isOver(ctx context.Context) bool {
	end, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(end)
}

// sleep waits, or tells that ctx ended first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
