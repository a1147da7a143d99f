package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// statusOptions are the flags of mcctl status.
type statusOptions struct {
	Mcdir   string
	Output  string
	Arbiter bool
	Check   bool
	Watch   time.Duration
}

func newStatus(env *Env, run func(context.Context, *Env, *statusOptions) error) *cobra.Command {
	o := &statusOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "status",
		Short: "Show both servers, the record and the arbiter",
		Long: `Show both servers, the record and the arbiter, as the supervisor of this server
sees them, and how far replication is by each server's own account. Without a supervisor it shows what can be known offline: this server's
copy of the record, which may be old, and whether PostgreSQL runs.

The exit status is 0 when there was an answer, however bad; with --check it is 1
unless the pair is healthy: paired, both servers well, with configuration files by
which PostgreSQL can change its role, failover enabled, and the arbiter hears both.`,
		Example: `  mcctl status -M /etc/mcctl/orders
  mcctl status -M /etc/mcctl/orders --watch      # every second; --watch=5s: every five
  mcctl status -M /etc/mcctl/orders --check -o json | jq .record.mode`,
		Args: watchArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("watch") && o.Watch <= 0 {
				return misuse(cmd, "status: --watch=%s: the interval must be more than nothing", o.Watch)
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	f := cmd.Flags()
	f.BoolVar(&o.Arbiter, "arbiter", false, "show the arbiter only")
	f.BoolVar(&o.Check, "check", false, "exit with 1 unless the pair is healthy")
	f.DurationVar(&o.Watch, "watch", 0, "show it again and again, at this `interval`")
	f.Lookup("watch").NoOptDefVal = "1s"
	return cmd
}

// watchArgs refuses words behind the flags, and says how an interval is written: as
// --watch may stand alone, it does not take the next word for its own.
func watchArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && cmd.Flags().Changed("watch") {
		if _, err := time.ParseDuration(args[0]); err == nil {
			return misuse(cmd, "status: write the interval as --watch=%s", args[0])
		}
	}
	return noArgs(cmd, args)
}

func runStatus(ctx context.Context, env *Env, o *statusOptions) error {
	for {
		if o.Watch > 0 && env.Terminal {
			_, _ = fmt.Fprint(itself(env.Stdout), "\x1b[H\x1b[2J") // home, clear
		}
		err := showStatus(ctx, env, o)
		if o.Watch <= 0 {
			return err
		}
		_ = report(env.Stderr, err) // a watch goes on: the supervisor may come back
		if sleep(ctx, o.Watch) != nil {
			return nil
		}
		if !env.Terminal && o.Output == formText {
			_, _ = fmt.Fprintln(env.Stdout)
		}
	}
}

func showStatus(ctx context.Context, env *Env, o *statusOptions) error {
	var st wire.Status
	err := control{o.Mcdir}.ask(ctx, wire.KindStatus, wire.StatusRequest{Replication: !o.Arbiter}, &st)
	if errors.Is(err, errNotRunning) {
		return showOffline(env, o)
	}
	if err != nil {
		return err
	}
	if err := printStatus(env, o, st); err != nil {
		return err
	}
	if o.Check && !st.Healthy {
		return quietly(exitFailed)
	}
	return nil
}

func printStatus(env *Env, o *statusOptions, st wire.Status) error {
	switch {
	case o.Output == formJSON && o.Arbiter:
		return writeJSON(env.Stdout, st.Arbiter)
	case o.Output == formJSON:
		return writeJSON(env.Stdout, st)
	case o.Arbiter:
		_, err := fmt.Fprintln(env.Stdout, "arbiter: "+arbiterLine(st.Arbiter))
		return err
	}
	return writeStatus(env.Stdout, st)
}
