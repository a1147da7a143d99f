package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mcctl/pkg/agent"
)

// What superviseOptions.Failover may say; empty keeps what was.
const (
	failoverOn  = "on"
	failoverOff = "off"
)

// superviseOptions are what an operator says about the supervisor at its start.
type superviseOptions struct {
	Mcdir    string
	Failover string
	McOnly   bool
	Async    bool
	Again    bool
	Watch    int // the pid of mcctl's own watch; 0 for none
}

func (o *superviseOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(choice{&o.Failover, []string{failoverOn, failoverOff}}, "failover", "automatic switch and detach")
	f.BoolVar(&o.McOnly, "mc-only", false, "leave a PostgreSQL that is down as it is")
	f.BoolVar(&o.Async, "async-connect-arbiter", false, "do not wait for the arbiter")
	f.BoolVar(&o.Again, "again", false, "succeed one that died: what was said at its start stands")
}

// args is the command that supervises with these options.
func (o *superviseOptions) args() []string {
	args := []string{"supervise", "-M", o.Mcdir}
	if o.Failover != "" {
		args = append(args, "--failover", o.Failover)
	}
	if o.McOnly {
		args = append(args, "--mc-only")
	}
	if o.Async {
		args = append(args, "--async-connect-arbiter")
	}
	if o.Again {
		args = append(args, "--again")
	}
	return args
}

func newSupervise(env *Env, run func(context.Context, *Env, *superviseOptions) error) *cobra.Command {
	o := &superviseOptions{}
	cmd := needServer(&cobra.Command{
		Use: "supervise", Hidden: true, Args: noArgs,
		Short: "Be the supervisor (started by mcctl start)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Watch = os.Getppid()
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	o.flags(cmd)
	return cmd
}

// runSupervise is the supervisor itself. SIGTERM and SIGINT are an operator's stop, which
// the agent carries out; it must not be torn off by the end of ctx.
func runSupervise(ctx context.Context, env *Env, o *superviseOptions) error {
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	out := newLogWriter(env.Stderr)
	defer out.close()
	opt := agent.Options{
		Config: c, Log: slog.New(slog.NewTextHandler(out, nil)), Version: env.Version,
		WaitForArbiter: !o.Async,
	}
	if !o.Again {
		opt.LeaveDown = &o.McOnly
	}
	if o.Watch != 0 { // its pid file says the same, but lies on a disk, which may hang
		opt.Unwatched = func() bool { return os.Getppid() != o.Watch }
	}
	if o.Failover != "" {
		on := o.Failover == failoverOn
		opt.Failover = &on
	}
	// From here on, so that none is lost before the agent listens or while it begins anew.
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stops)
	opt.Stops = stops
	return superviseOn(ctx, o.Mcdir, opt, stops)
}

// superviseOn begins anew, in this process and with the configuration as it is then, as
// often as the agent wants to. PostgreSQL stays this process's child, and is reaped.
// A stop that was asked of the agent when it ended is asked of the next one.
func superviseOn(ctx context.Context, mcdir string, opt agent.Options, stops chan os.Signal) error {
	for {
		err := agent.Run(context.WithoutCancel(ctx), opt)
		if !errors.Is(err, agent.ErrAgain) {
			return err
		}
		if ctx.Err() != nil || errors.Is(err, agent.ErrAgainToStop) {
			select {
			case stops <- syscall.SIGTERM:
			default:
			}
		}
		c, err := loadConfig(mcdir)
		if err != nil {
			return err
		}
		opt.Config, opt.Failover, opt.LeaveDown, opt.WaitForArbiter = c, nil, nil, false
	}
}
