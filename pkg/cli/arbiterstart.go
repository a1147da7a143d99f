package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// arbiterStartOptions are the flags of mcctl arbiter start.
type arbiterStartOptions struct {
	Mcdir      string
	Foreground bool
	Timeout    time.Duration
}

func newArbiterStart(env *Env, run func(context.Context, *Env, *arbiterStartOptions) error) *cobra.Command {
	o := &arbiterStartOptions{}
	cmd := needArbiter(&cobra.Command{
		Use:   "start",
		Short: "Start the arbiter of this host",
		Long: `Start the arbiter in the background, where it is kept running. The management
directory holds arbiter.toml. An arbiter needs no PostgreSQL and serves many pairs.`,
		Example: `  mcctl arbiter start -M /etc/mcctl/arbiter
  mcctl arbiter start -M /etc/mcctl/arbiter --foreground   # for systemd and containers`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	cmd.Flags().BoolVar(&o.Foreground, "foreground", false, "be the arbiter, in this process")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 30*time.Second, "how long to wait until it answers")
	return cmd
}

// arbiterNow is the pid of a running arbiter, or 0. One that is being killed has its pid for
// a moment longer, but does not answer; one that is kept running is soon started again. Both
// are waited for.
func arbiterNow(ctx context.Context, mcdir string) (int, error) {
	for began := time.Now(); ; {
		pid, err := arbiterOf(mcdir)
		there, patience := pid, time.Second
		if pid == 0 && err == nil {
			there, err = watchOf(mcdir)
			patience = restPatience
		}
		if there == 0 || err != nil || pid != 0 && arbiterAnswers(ctx, mcdir) || time.Since(began) > patience || sleep(ctx, 20*time.Millisecond) != nil {
			return pid, err
		}
	}
}

func arbiterAnswers(ctx context.Context, mcdir string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var st wire.WitnessStatus
	return (control{mcdir}).ask(ctx, wire.KindStatus, wire.WitnessStatusRequest{}, &st) == nil
}

func runArbiterStart(ctx context.Context, env *Env, o *arbiterStartOptions) error {
	c, err := loadArbiter(o.Mcdir)
	if err != nil {
		return err
	}
	if err := ownsArbiter(env.Euid(), c); err != nil {
		return err
	}
	pid, err := arbiterNow(ctx, o.Mcdir)
	if err != nil {
		return inCommand("arbiter start", notSeen(o.Mcdir, err))
	}
	if pid != 0 {
		_, _ = fmt.Fprintf(env.Stdout, "the arbiter is already running, pid %d\n", pid)
		if o.Foreground {
			return quietly(exitRefused)
		}
		return nil
	}
	if o.Foreground {
		return runArbitrate(ctx, env, &arbitrateOptions{Mcdir: o.Mcdir})
	}
	from := logLength(o.Mcdir)
	d, err := launch(env, o.Mcdir, "watch-arbiter", "-M", o.Mcdir)
	if err != nil {
		return fmt.Errorf("arbiter start: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	err = d.until(ctx, from, func(ctx context.Context) (bool, string) {
		var st wire.WitnessStatus
		return control{o.Mcdir}.ask(ctx, wire.KindStatus, wire.WitnessStatusRequest{}, &st) == nil, ""
	}, func(string) {})
	if isCut(err) {
		return failed(exitGoingOn, fmt.Errorf("arbiter start: %s; the start goes on", cutShort(ctx, "no answer", o.Timeout)), "see %s", logOf(o.Mcdir))
	}
	if err != nil {
		return fmt.Errorf("start arbiter: %w", err)
	}
	_, _ = fmt.Fprintln(env.Stdout, "the arbiter is running")
	return nil
}
