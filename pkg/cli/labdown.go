package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mcctl/pkg/lab"
)

// labDownOptions are the flags of mcctl lab down.
type labDownOptions struct {
	Dir  string
	Wipe bool
}

func newLabDown(env *Env, run func(context.Context, *Env, *labDownOptions) error) *cobra.Command {
	o := &labDownOptions{}
	cmd := labCommand(&cobra.Command{
		Use:   "down",
		Short: "Stop everything in a lab",
		Long: `Stop everything in a lab, whatever state it is in. Its data stays, unless --wipe
removes it.`,
		Example: `  mcctl lab down /tmp/lab
  mcctl lab down /tmp/lab --wipe`,
	}, &o.Dir, func(ctx context.Context) error { return run(ctx, env, o) })
	cmd.Flags().BoolVar(&o.Wipe, "wipe", false, "remove it, with its data")
	return cmd
}

func runLabDown(ctx context.Context, env *Env, o *labDownOptions) error {
	if err := lab.Down(ctx, o.Dir, o.Wipe); err != nil {
		return failed(exitFailed, err, "the same command can be repeated; mcctl lab pids %s shows what is left", o.Dir)
	}
	_, _ = fmt.Fprintln(env.Stdout, yes(o.Wipe, "the lab is stopped and removed", "the lab is stopped; its data is kept"))
	return nil
}
