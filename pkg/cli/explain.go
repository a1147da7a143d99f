package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// explainOptions are the flags of mcctl explain.
type explainOptions struct {
	Mcdir  string
	Output string
}

func newExplain(env *Env, run func(context.Context, *Env, *explainOptions) error) *cobra.Command {
	o := &explainOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "explain",
		Short: "Say why this server does what it does",
		Long: `Say which rule decides on this server now, the facts it decided on, and for each
rule above it the first fact that kept it from matching. All rules: mcctl rules.`,
		Example: `  mcctl explain -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runExplain(ctx context.Context, env *Env, o *explainOptions) error {
	var e wire.Explanation
	if err := (control{o.Mcdir}).ask(ctx, wire.KindExplain, nil, &e); err != nil {
		return err
	}
	if o.Output == formJSON {
		return writeJSON(env.Stdout, e)
	}
	return writeExplanation(env.Stdout, e)
}

func writeExplanation(w io.Writer, e wire.Explanation) error {
	_, _ = fmt.Fprintf(w, "%s: rule %d: %s, because %s\n", e.Server, e.Rule, e.Action, e.Why)
	if e.Doing != "" {
		_, _ = fmt.Fprintf(w, "now: %s\n", e.Doing)
	}
	if e.NextStep != "" {
		_, _ = fmt.Fprintf(w, "next step: %s\n", e.NextStep)
	}
	t := newTable(w)
	t.row()
	t.row("FACT", "IS")
	for _, f := range e.Facts {
		t.row(f.Name, f.Value)
	}
	if len(e.Above) > 0 {
		t.row()
		t.row("RULE ABOVE", "WOULD", "BUT", "IS", "NOT")
	}
	for _, m := range e.Above {
		t.row(strconv.Itoa(m.Rule), m.Action, m.Fact, m.Value, m.Wants)
	}
	return t.Flush()
}
