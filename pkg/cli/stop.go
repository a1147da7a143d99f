package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// stopOptions are the flags of mcctl stop.
type stopOptions struct {
	Mcdir   string
	All     bool
	Force   bool
	McOnly  bool
	Timeout time.Duration
}

func newStop(env *Env, run func(context.Context, *Env, *stopOptions) error) *cobra.Command {
	o := &stopOptions{}
	cmd := needMcdir(&cobra.Command{
		Use:   "stop",
		Short: "Stop the supervisor of this server, and with it PostgreSQL",
		Long: `Stop PostgreSQL on this server in good order, then its supervisor. A standby
says goodbye first, so that no commit on the primary waits for it. Stopping a
primary is no fault: the standby does not take over.`,
		Example: `  mcctl stop -M /etc/mcctl/orders             # this server
  mcctl stop -M /etc/mcctl/orders -a          # both servers
  mcctl stop -M /etc/mcctl/orders --mc-only   # PostgreSQL goes on, unsupervised
  mcctl stop -M /etc/mcctl/orders -e          # a supervisor that hangs: kill it, stop PostgreSQL at once`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "stop both servers")
	f.BoolVarP(&o.Force, "force", "e", false, "kill a supervisor that does not answer, and stop PostgreSQL at once")
	f.BoolVar(&o.McOnly, "mc-only", false, "stop the supervisor only; PostgreSQL goes on")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Minute, "how long to wait; the stop goes on afterwards")
	exclusive(cmd, "all", "force")
	return cmd
}

func runStop(ctx context.Context, env *Env, o *stopOptions) error {
	if o.Force {
		return runKill(ctx, env, o)
	}
	st, err := control{o.Mcdir}.status(ctx)
	if errors.Is(err, errNotRunning) {
		return failed(exitNotRunning, fmt.Errorf("stop: %w: %s", errNotRunning, o.Mcdir), "if PostgreSQL runs without it: mcctl stop -e -M %s", o.Mcdir)
	}
	if err != nil {
		return failed(exitFailed, fmt.Errorf("stop: %w", err), "a supervisor that does not answer can be killed: mcctl stop -e -M %s", o.Mcdir)
	}
	_, _ = fmt.Fprintf(env.Stdout, "stopping %s\n", stopped(o, st))
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	answer, err := stopAndWatch(ctx, env, o)
	if errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return failed(exitGoingOn, fmt.Errorf("stop: not complete after %s; it goes on", o.Timeout), "follow it: mcctl status --watch -M %s", o.Mcdir)
	}
	if err != nil {
		return err
	}
	for _, note := range answer.Notes {
		_, _ = fmt.Fprintln(env.Stdout, note)
	}
	if answer.Left != "" { // a script must not go on as if both had stopped
		return failed(exitFailed, fmt.Errorf("stop: %s is stopped, but %s", st.Local, answer.Left), "stop it there: mcctl stop")
	}
	_, _ = fmt.Fprintf(env.Stdout, "stopped %s\n", stopped(o, st))
	return nil
}

// stopped names what a stop ends.
func stopped(o *stopOptions, st wire.Status) string {
	what := string(st.Local)
	if o.All {
		what = "both servers of pair " + st.Pair
	}
	return what + yes(o.McOnly, "; PostgreSQL goes on", "")
}

// stopAndWatch asks for the stop, tells what the supervisor is at meanwhile, and
// returns when it has gone. A supervisor that was killed in the middle of it and has
// come back knows nothing of the stop: it is asked again.
func stopAndWatch(ctx context.Context, env *Env, o *stopOptions) (wire.StopAnswer, error) {
	asked := make(chan error, 1)
	var answer wire.StopAnswer
	ask := func() {
		asked <- control{o.Mcdir}.call(ctx, wire.KindStop, wire.StopRequest{KeepPostgres: o.McOnly, Both: o.All}, &answer)
	}
	first := supervisorOf(o.Mcdir)
	go ask()
	before := ""
	for {
		select {
		case err := <-asked:
			if err != nil && answered(err) {
				return answer, err
			}
			next, err := awaitGone(ctx, o.Mcdir, first, err)
			if next == 0 {
				return answer, err
			}
			first = next
			go ask()
		case <-time.After(500 * time.Millisecond):
		}
		st, err := control{o.Mcdir}.status(ctx)
		if now := waitingFor(st); err == nil && now != "" && now != before {
			_, _ = fmt.Fprintln(env.Stdout, now)
			before = now
		}
	}
}

// awaitGone waits until neither supervisor nor watch is left, so that a start may
// follow at once. One that was torn off before it could answer (why) has stopped all
// the same, unless another comes in its place: then that one's pid is returned as
// soon as it answers.
func awaitGone(ctx context.Context, mcdir string, first int, why error) (next int, err error) {
	for {
		pid := supervisorOf(mcdir)
		if pid == 0 && watchOf(mcdir) == 0 {
			return 0, nil
		}
		if pid != 0 && pid != first {
			if _, err := (control{mcdir}).status(ctx); err == nil {
				return pid, nil
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return 0, errors.Join(err, why)
		}
	}
}
