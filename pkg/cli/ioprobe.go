package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/observe"
)

// ioProbeOptions are those of the child that tries a disk.
type ioProbeOptions struct {
	Dir   string
	Every time.Duration
}

func newIOProbe(env *Env, run func(context.Context, *Env, *ioProbeOptions) error) *cobra.Command {
	o := &ioProbeOptions{}
	return &cobra.Command{
		Use: observe.ProbeCommand + " DIR INTERVAL", Hidden: true, Args: cobra.ExactArgs(2),
		Short: "Try again and again whether a disk still writes (started by the supervisor)",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Dir = args[0]
			if o.Every, err = time.ParseDuration(args[1]); err != nil {
				return misuse(cmd, "read interval: %w", err)
			}
			return run(cmd.Context(), env, o)
		},
	}
}

// runIOProbe ends when nobody reads its verdicts any more.
func runIOProbe(_ context.Context, env *Env, o *ioProbeOptions) error {
	if err := observe.IOProbe(o.Dir, o.Every, env.Stdout); err != nil {
		return fmt.Errorf("try disk %s: %w", o.Dir, err)
	}
	return nil
}
