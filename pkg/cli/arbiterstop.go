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
// watch. One that is frozen is killed: nothing it has answered for can be lost.
func runArbiterStop(ctx context.Context, env *Env, o *arbiterStopOptions) error {
	there, err := runs(o.Mcdir, watchOf, arbiterOf)
	if err != nil {
		return inCommand("arbiter stop", notSeen(o.Mcdir, err))
	}
	if !there {
		return noArbiter("stop", o.Mcdir)
	}
	pid, err := arbiterOf(o.Mcdir)
	if err != nil {
		return inCommand("arbiter stop", notSeen(o.Mcdir, err))
	}
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return failed(exitFailed, fmt.Errorf("arbiter stop: end process %d: %w", pid, err), "run mcctl as the user who owns %s", o.Mcdir)
		}
	}
	bounded, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	for there {
		if there, err = runs(o.Mcdir, watchOf, arbiterOf); err != nil {
			return inCommand("arbiter stop", notSeen(o.Mcdir, err))
		}
		if sleep(bounded, 10*time.Millisecond) != nil {
			return killArbiter(ctx, env, o.Mcdir)
		}
	}
	_, _ = fmt.Fprintln(env.Stdout, "the arbiter has stopped")
	return nil
}

func killArbiter(ctx context.Context, env *Env, mcdir string) error {
	for _, find := range []finder{watchOf, arbiterOf} {
		if pid, err := kill(ctx, mcdir, find); err != nil {
			return fmt.Errorf("arbiter stop: kill process %d: %w", pid, err)
		}
	}
	_, _ = fmt.Fprintln(env.Stdout, "the arbiter did not end by itself and was killed")
	return nil
}
