package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// arbiterStopOptions are the flags of mcctl arbiter stop.
type arbiterStopOptions struct {
	Mcdir   string
	Timeout time.Duration
}

func newArbiterStop(env *Env, run func(context.Context, *Env, *arbiterStopOptions) error) *cobra.Command {
	o := &arbiterStopOptions{}
	cmd := needArbiter(&cobra.Command{
		Use:   "stop",
		Short: "Stop the arbiter of this host",
		Long: `Stop the arbiter. Its pairs go on as they are; until it is back no role of theirs
can change.`,
		Example: `  mcctl arbiter stop -M /etc/mcctl/arbiter`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Second, "how long it may take to end before it is killed")
	return cmd
}

// runArbiterStop signals the arbiter, which ends in good order, and so does its
// watch. Between two starts of one that dies again and again there is its watch to tell.
// One that is frozen is killed: nothing it has answered for can be lost.
func runArbiterStop(ctx context.Context, env *Env, o *arbiterStopOptions) error {
	watch, err := watchOf(o.Mcdir)
	if err != nil {
		return inCommand("arbiter stop", notSeen(o.Mcdir, err))
	}
	bounded, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	for told := 0; ; {
		pid, err := oneOf(o.Mcdir, arbiterOf, watchOf)
		switch {
		case err != nil:
			return inCommand("arbiter stop", notSeen(o.Mcdir, err))
		case pid == 0 && told == 0:
			return noArbiter("stop", o.Mcdir)
		case pid == 0:
			_, _ = fmt.Fprintln(env.Stdout, "the arbiter has stopped")
			return nil
		case pid != told:
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return failed(exitFailed, fmt.Errorf("arbiter stop: end process %d: %w", pid, err), "run mcctl as the user who owns %s", o.Mcdir)
			}
			told = pid
		}
		if sleep(bounded, 10*time.Millisecond) == nil {
			continue
		}
		if isInterrupted(bounded) {
			return failed(exitGoingOn, errors.New("arbiter stop: interrupted; it goes on"), "follow it: mcctl arbiter status -M %s; or repeat the command", o.Mcdir)
		}
		return killArbiter(ctx, env, o.Mcdir, watch != 0)
	}
}

// killArbiter kills the watch first, else it would start the arbiter again. Where there was
// none, systemd may: to it what was killed has crashed.
func killArbiter(ctx context.Context, env *Env, mcdir string, watched bool) error {
	for _, find := range []finder{watchOf, arbiterOf} {
		if pid, err := kill(ctx, mcdir, find); err != nil {
			return fmt.Errorf("arbiter stop: kill process %d: %w", pid, err)
		}
	}
	if !watched {
		again, err := isSucceeded(ctx, mcdir, watchOf, arbiterOf)
		if again {
			return failed(exitFailed, errors.New("arbiter stop: it did not end by itself and was killed, and has been started again: systemd does that, or whatever else runs it"),
				"stop it there: systemctl stop mcctl-arbiter")
		}
		if err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintln(env.Stdout, "the arbiter did not end by itself and was killed")
	return nil
}
