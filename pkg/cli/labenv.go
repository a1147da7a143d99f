package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"mcctl/pkg/shell"
)

func newLabEnv(env *Env, run func(context.Context, *Env, *labOptions) error) *cobra.Command {
	o := &labOptions{}
	cmd := labCommand(&cobra.Command{
		Use:   "env",
		Short: "Print the variables by which a shell finds a lab",
		Long: `Print shell commands that set MC1 and MC2, the management directories of the two
servers, MCARB, the arbiter's, and PGURI, the connection string for clients.`,
		Example: `  eval "$(mcctl lab env /tmp/lab)"; mcctl status -M $MC1; psql "$PGURI"`,
	}, &o.Dir, func(ctx context.Context) error { return run(ctx, env, o) })
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runLabEnv(_ context.Context, env *Env, o *labOptions) error {
	l, err := openLab(o.Dir)
	if err != nil {
		return err
	}
	vars := l.Env()
	if o.Output == formJSON {
		return writeJSON(env.Stdout, vars)
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		_, _ = fmt.Fprintf(env.Stdout, "export %s=%s\n", name, shell.Word(vars[name]))
	}
	return nil
}
