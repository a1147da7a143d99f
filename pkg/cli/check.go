package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

// checkOptions are the flags of mcctl check.
type checkOptions struct {
	Mcdir  string
	Output string
	List   bool
}

// checkPatience bounds each connection that the command itself makes.
const checkPatience = 3 * time.Second

func newCheck(env *Env, run func(context.Context, *Env, *checkOptions) error) *cobra.Command {
	o := &checkOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "check",
		Short: "Find what is wrong, and say what would work now",
		Long: `Look at this server and, through the supervisors, at the other one: files,
programs, settings, connections in both directions, certificates, space, archive.
Each finding says why it matters and how to mend it. The end says whether
failover, switch, rewind and rebuild would work now, and if not, because of which
findings. Nothing is changed.

It works without a supervisor as well, on this server alone. What could not be
looked at is told, and never counts as fine. Run it as the owner of the data
directory; root is refused, as it runs programs that this owner has named.

The exit status is 0 when there is nothing but remarks, 1 with errors, and 6 with
warnings only or when not everything could be looked at. All checks: --list.`,
		Example: `  mcctl check -M /etc/mcctl/orders
  mcctl check -M /etc/mcctl/orders -o json | jq -r '.findings[].id'
  mcctl check --list -o markdown`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON, formMarkdown)
	cmd.Flags().BoolVar(&o.List, "list", false, "list the checks instead; needs no management directory")
	find := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if o.List {
			return nil
		}
		if o.Output == formMarkdown {
			return misuse(cmd, "check: markdown is for --list")
		}
		return find(cmd, args)
	}
	return cmd
}

func runCheck(ctx context.Context, env *Env, o *checkOptions) error {
	if o.List {
		return listChecks(env, o.Output)
	}
	if err := notAsRoot("check", env, o.Mcdir); err != nil {
		return err
	}
	report, err := makeReport(ctx, env, o.Mcdir)
	if err != nil {
		return err
	}
	if o.Output == formJSON {
		err = writeJSON(env.Stdout, report)
	} else {
		err = writeReport(env.Stdout, report)
	}
	if err != nil {
		return err
	}
	switch {
	case report.Worst() == check.Error:
		return quietly(exitFailed)
	case report.Worst() == check.Warning || len(report.NotLooked) > 0:
		return quietly(exitWarnings)
	}
	return nil
}

// makeReport looks here, asks the supervisor for the rest, and judges.
func makeReport(ctx context.Context, env *Env, mcdir string) (check.Report, error) {
	c, err := config.Load(mcdir)
	if err != nil {
		return check.Unconfigured(mcdir, err), nil
	}
	look := check.Looker{Config: c, Version: env.Version, Root: "/", Now: time.Now, Patience: checkPatience}
	scene := check.Scene{Pair: c.Pair.Name, Here: look.Look(ctx), Now: time.Now()}
	var answer wire.CheckAnswer
	err = control{mcdir}.ask(ctx, wire.KindCheck, nil, &answer)
	if err == nil {
		err = fillScene(&scene, answer)
		return check.Judge(scene, check.Table()), err
	}
	scene.Here.Missing[check.Supervisor] = err.Error()
	scene.NoAnswer = fmt.Sprintf("%s can be asked through the supervisors only, and here %v", c.Other(), err)
	if errors.Is(err, errNotRunning) {
		scene.NoAnswer = fmt.Sprintf("%s can be asked through the supervisors only, and none is running here", c.Other())
	}
	return check.Judge(scene, check.Table()), nil
}

// fillScene adds what the supervisors told.
func fillScene(scene *check.Scene, a wire.CheckAnswer) error {
	scene.NoAnswer, scene.Skew, scene.SkewError = a.NoAnswer, a.Skew, a.SkewError
	known := &check.Known{}
	if err := json.Unmarshal(a.Known, known); err != nil {
		return fmt.Errorf("check: read what the supervisor knows: %w", err)
	}
	scene.Here.Supervisor = known
	delete(scene.Here.Missing, check.Supervisor)
	if len(a.Other) == 0 {
		return nil
	}
	scene.There = &check.Side{}
	if err := json.Unmarshal(a.Other, scene.There); err != nil {
		return fmt.Errorf("check: read what the other server sees: %w", err)
	}
	return nil
}

func listChecks(env *Env, form string) error {
	table := check.Table()
	switch form {
	case formMarkdown:
		_, err := fmt.Fprint(env.Stdout, check.Markdown(table))
		return err
	case formJSON:
		return writeJSON(env.Stdout, check.List(table))
	}
	t := newTable(env.Stdout)
	t.row("ID", "SEVERITY", "WHAT MUST HOLD")
	for _, c := range table {
		t.row(c.ID, string(c.Severity), c.What)
	}
	return t.Flush()
}
