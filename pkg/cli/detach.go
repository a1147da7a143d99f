package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

const (
	detachRisk   = "from here until the next attach, commits are on the disk of the primary alone: whoever loses it loses them"
	unfencedRisk = "; the standby is not fenced and goes on answering reads that grow old"
)

func newDetach(env *Env, run func(context.Context, *Env, *askOptions) error) *cobra.Command {
	o := &askOptions{Kind: wire.KindDetach}
	cmd := needServer(&cobra.Command{
		Use:   "detach",
		Short: "Let the primary go on without its standby",
		Long: `Let the primary acknowledge commits by itself, as before maintenance of the
standby that takes long. The standby goes on replaying, but may not take over
until it is attached again with mcctl attach. It may be called on either server.

What that risks is said first: commits are on the disk of the primary alone.

The commands of the site come first: pre_detach on both servers, then fencing on the
primary. If fencing fails, nothing is detached; --no-fencing leaves it out.

With arbitration by commands the standby may take over unless it gives its word or was
fenced. If it is not reached, make sure that it is off, and say so: --standby-is-off.`,
		Example: `  mcctl detach -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Risk = detachRisk + yes(o.NoFence, unfencedRisk, "")
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	cmd.Flags().BoolVar(&o.NoFence, "no-fencing", false, "do not call the fencing command")
	cmd.Flags().BoolVar(&o.Off, "standby-is-off", false, "I have made sure that the standby is off: do not fence it, nor wait for its word")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 2*time.Minute, "how long to wait; the detach goes on afterwards")
	return cmd
}
