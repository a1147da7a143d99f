package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// arbiterStatusOptions are the flags of mcctl arbiter status.
type arbiterStatusOptions struct {
	Mcdir  string
	Output string
}

func newArbiterStatus(env *Env, run func(context.Context, *Env, *arbiterStatusOptions) error) *cobra.Command {
	o := &arbiterStatusOptions{}
	cmd := needArbiter(&cobra.Command{
		Use:     "status",
		Short:   "Show the pairs of this arbiter",
		Long:    `Show each pair that this arbiter keeps a record of, and which servers it hears.`,
		Example: `  mcctl arbiter status -M /etc/mcctl/arbiter`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runArbiterStatus(ctx context.Context, env *Env, o *arbiterStatusOptions) error {
	st, err := askArbiter(ctx, o.Mcdir)
	if err != nil {
		return err
	}
	if o.Output == formJSON {
		return writeJSON(env.Stdout, st)
	}
	return writeArbiter(env.Stdout, st)
}

// askArbiter turns the pages until the last.
func askArbiter(ctx context.Context, mcdir string) (wire.WitnessStatus, error) {
	all := wire.WitnessStatus{Pairs: []wire.WitnessPairStatus{}}
	after := ""
	for {
		var page wire.WitnessStatus
		err := control{mcdir}.ask(ctx, wire.KindStatus, wire.WitnessStatusRequest{After: after}, &page)
		if errors.Is(err, errNotRunning) {
			return all, noArbiter("status", mcdir)
		}
		if err != nil {
			return all, err
		}
		all.Pairs = append(all.Pairs, page.Pairs...)
		all.PID, all.Version = page.PID, page.Version
		if !page.More || len(page.Pairs) == 0 {
			return all, nil
		}
		after = page.Pairs[len(page.Pairs)-1].Pair
	}
}

func writeArbiter(w io.Writer, st wire.WitnessStatus) error {
	_, _ = fmt.Fprintf(w, "arbiter is running, pid %d, version %s, pairs: %d\n", st.PID, st.Version, len(st.Pairs))
	if len(st.Pairs) == 0 {
		return nil
	}
	t := newTable(w)
	t.row()
	t.row("PAIR", "RECORD", "SERVERS")
	for _, p := range st.Pairs {
		record := p.Record.String()
		switch {
		case p.Error != "" && p.Record.Exists():
			record += ": " + p.Error
		case p.Error != "":
			record = "cannot be read: " + p.Error
		}
		var servers []string
		for _, s := range p.Servers {
			heard := fmt.Sprintf("silent for %.1f s", s.HeardAgo)
			servers = append(servers, fmt.Sprintf("%s %s, postgres %s", s.Name, yes(s.Online, "heard", heard), dash(s.Postgres)))
		}
		t.row(p.Pair, record, strings.Join(servers, "; "))
	}
	return t.Flush()
}
