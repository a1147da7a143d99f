package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
)

func newLabPids(env *Env, run func(context.Context, *Env, *labOptions) error) *cobra.Command {
	o := &labOptions{}
	cmd := labCommand(&cobra.Command{
		Use:     "pids",
		Short:   "Print the processes of a lab, to kill and freeze them",
		Long:    `Print the processes of a lab; a dash where there is none (0 in JSON).`,
		Example: `  kill -9 $(mcctl lab pids /tmp/lab -o json | jq .servers.server1.postmaster)`,
	}, &o.Dir, func(ctx context.Context) error { return run(ctx, env, o) })
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runLabPids(_ context.Context, env *Env, o *labOptions) error {
	l, err := openLab(o.Dir)
	if err != nil {
		return err
	}
	pids := l.Pids()
	if o.Output == formJSON {
		return writeJSON(env.Stdout, pids)
	}
	pid := func(n int) string { return yes(n != 0, strconv.Itoa(n), "-") }
	t := newTable(env.Stdout)
	t.row("SERVER", "WATCH", "SUPERVISOR", "POSTMASTER", "WALSENDER", "WALRECEIVER")
	for _, name := range slices.Sorted(maps.Keys(pids.Servers)) {
		p := pids.Servers[name]
		t.row(string(name), pid(p.Watch), pid(p.Supervisor), pid(p.Postmaster), pid(p.Walsender), pid(p.Walreceiver))
	}
	t.row("witness", "", pid(pids.Witness))
	return t.Flush()
}
