package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

func newAttach(env *Env, run func(context.Context, *Env, *askOptions) error) *cobra.Command {
	o := &askOptions{Kind: wire.KindAttach}
	cmd := needServer(&cobra.Command{
		Use:   "attach",
		Short: "Attach a standby that was detached",
		Long: `Undo mcctl detach: as soon as the standby streams and is close, commits wait for it
again and it may take over. A standby that was not detached by an operator is
attached by itself. It may be called on either server.`,
		Example: `  mcctl attach -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	cmd.Flags().DurationVar(&o.Timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}
