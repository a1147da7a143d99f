package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mcctl/pkg/act"
	"mcctl/pkg/lost"
)

// eventsShowOptions are the flags of mcctl events show.
type eventsShowOptions struct {
	Mcdir  string
	Output string
	ID     string // empty: the newest
	Seen   bool
}

func newEventsShow(env *Env, run func(context.Context, *Env, *eventsShowOptions) error) *cobra.Command {
	o := &eventsShowOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "show [ID]",
		Short: "Show which transactions this server had to discard",
		Long: `Show a report of transactions that were committed on this server and are not in the
history of the one that took over. It is made before an old primary is rewound or
copied anew: which transactions, when, which relations, whether clients can have been
told of them, where the log is saved, and how to look into it. Without ID the newest
one. It is read from the management directory, so it needs no supervisor.`,
		Example: `  mcctl events show -M /etc/mcctl/orders
  mcctl events show -M /etc/mcctl/orders 20260102-030405-1-0_5000148
  mcctl events show -M /etc/mcctl/orders --seen
  mcctl events show -M /etc/mcctl/orders -o json | jq '.list[] | .xid'`,
		Args: atMostArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.ID = args[0]
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	cmd.Flags().BoolVar(&o.Seen, "seen", false, "mark it as seen: mcctl status no longer mentions it")
	return cmd
}

func runEventsShow(_ context.Context, env *Env, o *eventsShowOptions) error {
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	store := act.LostOf(c)
	r, err := reportOf(store, o.ID)
	if err != nil {
		return failed(exitFailed, err, "reports lie on the server whose transactions were discarded: mcctl events -M %s there lists them", o.Mcdir)
	}
	if o.Seen {
		if err := notAsRoot("events show "+r.ID+" --seen", env, o.Mcdir); err != nil {
			return err
		}
		if err := store.See(r.ID); err != nil {
			return failed(exitFailed, fmt.Errorf("mark report as seen: %w", err), "run mcctl as the user who owns %s", o.Mcdir)
		}
		r.Seen = true
	}
	if o.Output == formJSON {
		return writeJSON(env.Stdout, r)
	}
	return r.Text(env.Stdout)
}

func reportOf(store lost.Store, id string) (lost.Report, error) {
	if id != "" {
		return store.Get(id)
	}
	all, err := store.List()
	if err == nil && len(all) == 0 {
		err = errors.New("nothing was ever discarded on this server")
	}
	if err != nil {
		return lost.Report{}, err
	}
	return all[len(all)-1], nil
}
