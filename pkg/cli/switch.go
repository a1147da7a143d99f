package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// switchOptions are the flags of mcctl switch.
type switchOptions struct {
	Mcdir   string
	Output  string
	Force   bool
	Yes     bool
	NoFence bool
	NoWait  bool
	Cancel  bool
	Status  bool
	DryRun  bool
	Job     string // of --cancel and --status; empty is the newest
	Timeout time.Duration
}

func newSwitch(env *Env, run func(context.Context, *Env, *switchOptions) error) *cobra.Command {
	o := &switchOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "switch [--dry-run | --cancel [ID] | --status [ID]]",
		Short: "Make the standby the primary, without losing a commit",
		Long: `Make the standby the primary. Clients see one short gap; no acknowledged commit is
lost. It may be called on either server. Until its point of no return the switch
can be given up, with --cancel or Ctrl-C, and the primary opens again; a switch
that fails before it ends the same way.

The command follows the switch but does not carry it: when the command ends early,
by its timeout or otherwise, the switch goes on.

Before it begins everything is looked at that may be in its way: what blocks it
refuses it, what merely costs is told. --dry-run shows all of that with values and
thresholds, who would be cut off, and how long the gap is likely to be, and ends
with 4 when a switch would be refused.

With --force this server takes over without the other's consent. Commits may be
lost: the command says which, and does nothing without --yes. If a fencing command
is configured, it is called first, and its failure is a refusal; --no-fencing leaves
it out.`,
		Example: `  mcctl switch -M /etc/mcctl/orders
  mcctl switch -M /etc/mcctl/orders --dry-run
  mcctl switch -M /etc/mcctl/orders --no-wait
  mcctl switch -M /etc/mcctl/orders --status            # the newest one
  mcctl switch -M /etc/mcctl/orders --cancel switch-7-1a2b
  mcctl switch -M /etc/mcctl/orders --force --yes       # on the server that shall take over`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Job = args[0]
			}
			if err := o.check(cmd); err != nil {
				return err
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if o.Cancel || o.Status {
			return atMostArgs(1)(cmd, args)
		}
		return noArgs(cmd, args)
	}
	outputFlag(cmd, &o.Output, formText, formJSON)
	f := cmd.Flags()
	f.BoolVar(&o.Force, "force", false, "take over without the other server; commits may be lost")
	f.BoolVar(&o.Yes, "yes", false, "do it, with --force")
	f.BoolVar(&o.NoFence, "no-fencing", false, "with --force: do not call the fencing command")
	f.BoolVar(&o.NoWait, "no-wait", false, "return as soon as the switch has begun")
	f.BoolVar(&o.Cancel, "cancel", false, "give up a switch that has not passed its point of no return")
	f.BoolVar(&o.Status, "status", false, "tell how a switch stands")
	f.BoolVar(&o.DryRun, "dry-run", false, "tell what is in the way and how long it would take; change nothing")
	f.DurationVar(&o.Timeout, "timeout", time.Minute, "how long to follow it; it goes on afterwards")
	exclusive(cmd, "force", "cancel", "status", "dry-run")
	return cmd
}

// check refuses what says something of a forced takeover only: an ordinary switch, which
// nobody has asked for by that, would cut off clients.
func (o *switchOptions) check(cmd *cobra.Command) error {
	switch {
	case o.NoFence && !o.Force:
		return misuse(cmd, "switch: --no-fencing belongs to --force")
	case o.Yes && !o.Force:
		return misuse(cmd, "switch: --yes belongs to --force")
	}
	return nil
}

func runSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	switch {
	case o.Cancel:
		return cancelSwitch(ctx, env, o)
	case o.Status:
		return tellSwitch(ctx, env, o)
	case o.DryRun:
		return previewSwitch(ctx, env, o)
	}
	before, err := control{o.Mcdir}.status(ctx)
	if err != nil {
		return err
	}
	if o.Force {
		if err := warnOfForce(o.progress(env), o, before); err != nil {
			return err
		}
	}
	f := newFollower(env, o, before)
	if err := f.begin(ctx); err != nil {
		return err
	}
	if o.NoWait {
		return f.begun(ctx)
	}
	return f.follow(ctx)
}

// progress goes where it does not disturb the result.
func (o *switchOptions) progress(env *Env) io.Writer {
	if o.Output == formJSON {
		return env.Stderr
	}
	return env.Stdout
}

// tellSwitch answers --status. Its exit status is the switch's.
func tellSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	var job wire.Job
	if err := (control{o.Mcdir}).ask(ctx, wire.KindJob, wire.JobRequest{ID: o.Job}, &job); err != nil {
		return err
	}
	if o.Output == formJSON {
		if err := writeJSON(env.Stdout, job); err != nil {
			return err
		}
	} else {
		_, _ = fmt.Fprintln(env.Stdout, jobLine(job))
		showSteps(env.Stdout, job, 0)
	}
	switch {
	case !job.Final:
		return quietly(exitGoingOn)
	case job.Phase != phaseDone:
		return quietly(exitFailed)
	}
	return nil
}

// cancelSwitch answers --cancel. Being asked is not yet being given up: it follows
// the switch to its end.
func cancelSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	c := control{o.Mcdir}
	before, err := c.status(ctx)
	if err != nil {
		return err
	}
	var job wire.Job
	if err := c.ask(ctx, wire.KindCancel, wire.JobRequest{ID: o.Job}, &job); err != nil {
		return err
	}
	f := newFollower(env, o, before)
	f.job, f.shown = job, len(job.Steps)
	err = f.follow(ctx)
	if f.job.Phase == phaseGivenUp {
		_, _ = fmt.Fprintf(f.out, "given up; %s stays primary\n", before.Record.Primary)
		return nil // that is what was asked for
	}
	return err
}

// warnOfForce says what a forced takeover may lose, and stops without --yes.
func warnOfForce(w io.Writer, o *switchOptions, st wire.Status) error {
	if err := refuseForce(st); err != nil {
		return err
	}
	for _, line := range mayLose(st) {
		_, _ = fmt.Fprintln(w, line)
	}
	if o.Yes {
		return nil
	}
	return failed(exitRefused, errors.New("switch --force: not done without --yes"), "if losing that is right, repeat the command with --yes")
}

// refuseForce refuses a forced takeover that nobody needs, before it is told what that
// may lose. A primary that waits for the other server, which may have taken over, is none
// yet: behind its gate, or with commits that hang where the site's commands arbitrate.
func refuseForce(st wire.Status) error {
	waits := st.Arbiter.Kind == arbiter.KindCommand && !st.Arbiter.Reached
	for _, s := range st.Servers {
		reason := ""
		switch open := s.Role == pair.Primary && s.Postgres == wire.ReportOpen; {
		case open && s.Server == st.Local && waits:
			continue
		case open && s.Server == st.Local:
			reason = "is primary already"
		case open && s.Supervisor == "here":
			reason = "is open and reached: use mcctl switch without --force"
		default:
			continue
		}
		return failed(exitRefused, fmt.Errorf("switch --force: refused: %s %s", s.Server, reason), "nothing was changed")
	}
	return nil
}

// mayLose says in sentences what the forced takeover of the local server risks.
func mayLose(st wire.Status) []string {
	r := st.Record
	if _, other := sides(st); r.Primary == st.Local {
		return []string{
			fmt.Sprintf("%s will go on without %s by force; the record is: %s", st.Local, other.Server, r),
			fmt.Sprintf("%s may have taken over while %s was not here: then what it acknowledged IS LOST", other.Server, st.Local),
			fmt.Sprintf("%s must be off, and must not run when it comes back unsupervised; its supervisor makes it a standby", other.Server),
		}
	}
	lines := []string{fmt.Sprintf("%s will take over by force; the record is: %s", st.Local, r)}
	switch here, _ := sides(st); {
	case here.Postgres == wire.ReportDown && r.Mode == pair.Alone:
		return append(lines,
			fmt.Sprintf("PostgreSQL of %s is down: it was the primary before, and nothing that was written since %s took over is here: all of it IS LOST", st.Local, r.Primary),
			fmt.Sprintf("%s must be off, and must not run when it comes back unsupervised; its data is then given up for %s's: mcctl rebuild there", r.Primary, st.Local))
	case r.Mode == pair.Paired:
		lines = append(lines, fmt.Sprintf("%s holds every commit that %s acknowledged before this supervisor last heard of it; if %s went alone since, what it acknowledged then is lost", st.Local, r.Primary, r.Primary))
	default:
		lines = append(lines, fmt.Sprintf("%s has acknowledged commits alone: those that %s does not have ARE LOST", r.Primary, st.Local))
	}
	return append(lines, gap(st), fmt.Sprintf("%s must not run when it comes back unsupervised; its supervisor makes it a standby", r.Primary))
}

// gap compares the last known log positions of the two servers.
func gap(st wire.Status) string {
	var here, there wire.ServerStatus
	for _, s := range st.Servers {
		if s.Server == st.Local {
			here = s
		} else {
			there = s
		}
	}
	if here.LSN == 0 || there.LSN == 0 {
		return "how much that is cannot be told: the log position of one server is not known"
	}
	return fmt.Sprintf("%s is at %s, %s was last seen at %s: %s of log are known to be missing", st.Local, here.LSN, there.Server, there.LSN, pair.Size(here.LSN.Behind(there.LSN)))
}
