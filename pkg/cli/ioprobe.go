package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/disk"
	"mcctl/pkg/observe"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// ioProbeOptions are those of the child that tries a disk.
type ioProbeOptions struct {
	Dir      string
	Every    time.Duration
	Measured string
}

func newIOProbe(env *Env, run func(context.Context, *Env, *ioProbeOptions) error) *cobra.Command {
	o := &ioProbeOptions{}
	return &cobra.Command{
		Use: observe.ProbeCommand + " DATA INTERVAL MEASURED", Hidden: true, Args: cobra.ExactArgs(3),
		Short: "Try again and again whether the disks still write (started by the supervisor)",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Dir, o.Measured = args[0], args[2]
			if o.Every, err = time.ParseDuration(args[1]); err != nil {
				return misuse(cmd, "read interval: %w", err)
			}
			return run(cmd.Context(), env, o)
		},
	}
}

// runIOProbe ends when nobody reads its verdicts any more.
func runIOProbe(_ context.Context, env *Env, o *ioProbeOptions) error {
	p := disk.Probe{
		Data: o.Dir, Measured: o.Measured, File: postgres.ProbeFile, Every: o.Every, Out: env.Stdout,
		Pause: func(d time.Duration) { time.Sleep(wire.ToTick(d)) },
	}
	if err := p.Run(); err != nil {
		return fmt.Errorf("try the disks of %s: %w", o.Dir, err)
	}
	return nil
}
