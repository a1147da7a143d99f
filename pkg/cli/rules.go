package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mcctl/pkg/decide"
)

// rulesOptions are the flags of mcctl rules.
type rulesOptions struct{ Output string }

func newRules(env *Env, run func(context.Context, *Env, *rulesOptions) error) *cobra.Command {
	o := &rulesOptions{}
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Print the table by which supervisors decide",
		Long: `Print the table by which supervisors decide. The first row that matches decides; a
fact that a row does not name may be anything. Which one decides now, and why:
mcctl explain.`,
		Example: `  mcctl rules
  mcctl rules -o markdown`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}
	outputFlag(cmd, &o.Output, formText, formJSON, formMarkdown)
	return cmd
}

func runRules(_ context.Context, env *Env, o *rulesOptions) error {
	rows := ruleRows()
	switch o.Output {
	case formJSON:
		return writeJSON(env.Stdout, rows)
	case formMarkdown:
		_, err := io.WriteString(env.Stdout, decide.Markdown())
		return err
	}
	t := newTable(env.Stdout)
	t.row("RULE", "DO", "BY", "WHEN", "BECAUSE")
	for _, r := range rows {
		t.row(strconv.Itoa(r.ID), r.Do, dash(r.By), r.when(" ", "%s=%s"), r.Why)
	}
	return t.Flush()
}

// ruleRow is a row of the table as it is printed.
type ruleRow struct {
	ID   int          `json:"rule"`
	When []wantedFact `json:"when"`
	Do   string       `json:"do"`
	By   string       `json:"transition,omitempty"`
	Why  string       `json:"why"`
}

// wantedFact is what a rule asks of one fact: any of these values.
type wantedFact struct {
	Fact  string   `json:"fact"`
	Wants []string `json:"wants"`
}

func ruleRows() []ruleRow {
	var rows []ruleRow
	for _, r := range decide.Rules {
		row := ruleRow{ID: r.ID, Do: string(r.Do), By: r.By, Why: r.Why}
		for _, f := range r.When.Fields(decide.Facts{}) { // what it wants depends on no fact
			if f.Wants != "" {
				row.When = append(row.When, wantedFact{f.Name, strings.Split(f.Wants, " or ")})
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (r ruleRow) when(between, form string) string {
	var parts []string
	for _, w := range r.When {
		parts = append(parts, fmt.Sprintf(form, w.Fact, strings.Join(w.Wants, "|")))
	}
	return strings.Join(parts, between)
}
