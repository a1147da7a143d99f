package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

func newLabStatus(env *Env, run func(context.Context, *Env, *labOptions) error) *cobra.Command {
	o := &labOptions{}
	cmd := labCommand(&cobra.Command{
		Use:     "status",
		Short:   "Show the pair of a lab",
		Long:    `Show the pair of a lab, as whichever of its supervisors answers sees it.`,
		Example: `  mcctl lab status /tmp/lab`,
	}, &o.Dir, func(ctx context.Context) error { return run(ctx, env, o) })
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runLabStatus(ctx context.Context, env *Env, o *labOptions) error {
	l, err := openLab(o.Dir)
	if err != nil {
		return err
	}
	seen, err := l.Status(ctx)
	if err != nil {
		return failed(exitNotRunning, err, "start it: mcctl lab up %s", o.Dir)
	}
	if o.Output == formJSON {
		return writeJSON(env.Stdout, seen.Raw)
	}
	var st wire.Status
	if err := json.Unmarshal(seen.Raw, &st); err != nil {
		return fmt.Errorf("lab status: read what %s said: %w", seen.From, err)
	}
	if len(st.Servers) == 0 { // it was offline
		return failed(exitNotRunning, fmt.Errorf("lab status: no supervisor is running; last record of %s: %s", seen.From, st.Record), "start it: mcctl lab up %s", o.Dir)
	}
	return writeStatus(env.Stdout, st)
}
