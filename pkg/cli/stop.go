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
	cmd := needServer(&cobra.Command{
		Use:   "stop",
		Short: "Stop the supervisor of this server, and with it PostgreSQL",
		Long: `Stop PostgreSQL on this server in good order, then its supervisor. A standby
says goodbye first, so that no commit on the primary waits for it; if the primary
cannot go on without it (a line of its configuration cannot be read, or the arbiter
is not reached), nothing is stopped. Stopping a primary is no fault: the standby does not take over.`,
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
	st, err := control{o.Mcdir}.present(ctx)
	if errors.Is(err, errNotRunning) && !isInterrupted(ctx) {
		return notStopped(o.Mcdir)
	}
	if err != nil {
		return notAsked(ctx, "stop", err, "a supervisor that does not answer can be killed: mcctl stop -e -M %s", o.Mcdir)
	}
	_, _ = fmt.Fprintf(env.Stdout, "stopping %s\n", stopped(o, st))
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	answer, err := stopAndWatch(ctx, env, o)
	if isCut(err) {
		return failed(exitGoingOn, fmt.Errorf("stop: %s; it goes on", cutShort(ctx, "not complete", o.Timeout)), "follow it: mcctl status --watch -M %s", o.Mcdir)
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

// notStopped is a stop that has found no supervisor, for all that it has waited for one that
// is kept running.
func notStopped(mcdir string) error {
	kept, err := isKept(mcdir)
	switch {
	case err != nil:
		return inCommand("stop", notSeen(mcdir, err))
	case kept:
		return failed(exitFailed, errors.New("stop: the supervisor has ended, and does not come up when its watch starts it again"), "see %s; end it: mcctl stop -e -M %s", logOf(mcdir), mcdir)
	}
	return failed(exitNotRunning, fmt.Errorf("stop: %w: %s", errNotRunning, mcdir), "if PostgreSQL runs without it: mcctl stop -e -M %s", mcdir)
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
	first, err := supervisorOf(o.Mcdir)
	if err != nil {
		return answer, inCommand("stop", notSeen(o.Mcdir, err))
	}
	go ask()
	before := ""
	for {
		select {
		case err := <-asked:
			if err != nil && answered(err) {
				return answer, err
			}
			next, gone := awaitGone(ctx, o.Mcdir, first, err)
			if next == 0 && gone == nil && err != nil {
				gone = tornOff(env.Euid(), o, &answer)
			}
			if next == 0 {
				return answer, gone
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
// the same, unless another comes in its place, or it begins anew: then that one's pid is
// returned as soon as it answers.
func awaitGone(ctx context.Context, mcdir string, first int, why error) (next int, err error) {
	for {
		kept, err := isKept(mcdir)
		if !kept && err == nil && why != nil {
			kept, err = isSucceeded(ctx, mcdir, watchOf, supervisorOf)
		}
		if !kept || err != nil {
			return 0, err
		}
		pid, err := supervisorOf(mcdir)
		if err != nil {
			return 0, err
		}
		if pid != 0 && (pid != first || why != nil) { // one that begins anew has its pid still
			if _, err := (control{mcdir}).status(ctx); err == nil {
				return pid, nil
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return 0, errors.Join(err, why)
		}
	}
}

// successorPatience is how long systemd, or whoever else runs a supervisor that has no watch,
// may take to start it again: RestartSec of our unit is 0.1 s.
var successorPatience = time.Second // a variable for tests of it

// isSucceeded waits a moment for another process to take the place of one that was killed.
// A service manager cannot be seen from here, and takes what was killed for a crash.
func isSucceeded(ctx context.Context, mcdir string, which ...finder) (bool, error) {
	for end := time.Now().Add(successorPatience); time.Now().Before(end); {
		if pid, err := oneOf(mcdir, which...); pid != 0 || err != nil {
			return pid != 0, err
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return false, err
		}
	}
	return false, nil
}

// tornOff says what is known of a stop whose supervisor has gone without an answer. It may
// have been killed before it came to PostgreSQL or to the other server.
func tornOff(euid int, o *stopOptions, answer *wire.StopAnswer) error {
	if o.All {
		answer.Left = "that one's answer was lost, and whether the other one was stopped is not known"
	}
	if o.McOnly {
		return nil
	}
	c, err := loadConfig(o.Mcdir)
	if err == nil && !mayJudge(euid, c) {
		err = fmt.Errorf("%s belongs to somebody else", c.Server.DataDirectory)
	}
	if err != nil {
		return failed(exitFailed, fmt.Errorf("stop: the supervisor has gone without an answer, and whether PostgreSQL runs cannot be told: %w", err), "when that is mended, or as the owner of the data directory, see mcctl status -M %s", o.Mcdir)
	}
	if pid, running := instanceOf(c).Postmaster(); running {
		return failed(exitFailed, fmt.Errorf("stop: the supervisor was killed in the middle of it, and PostgreSQL, pid %d, runs without it", pid), "stop it at once: mcctl stop -e -M %s; in good order: mcctl start -M %[1]s and mcctl stop -M %[1]s", o.Mcdir)
	}
	return nil
}
