package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// rebuildOptions are the flags of mcctl rebuild.
type rebuildOptions struct {
	Mcdir  string
	Output string
	wire.RebuildRequest
	Yes    bool
	NoWait bool
	Cancel bool
	Status bool
	Job    string // of --cancel and --status; empty is the newest
}

func newRebuild(env *Env, run func(context.Context, *Env, *rebuildOptions) error) *cobra.Command {
	o := &rebuildOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "rebuild [--cancel [ID] | --status [ID]]",
		Short: "Make this server's standby anew, by rewind or by a copy of the primary",
		Long: `Make the standby on this server anew. It says first which way it will take and
why, how much there is to copy and how long that took last time, and asks.

The old data is kept until the new one streams from the primary. Only where a copy
beside it is impossible (a data directory that is a file system of its own) it must
be emptied first, and that needs --in-place.

The supervisor does the work. This command follows it: Ctrl-C ends the following,
not the rebuild, which mcctl rebuild shows again and mcctl rebuild --cancel gives up.`,
		Example: `  mcctl rebuild -M /etc/mcctl/orders --dry-run      # which way, why, how much
  mcctl rebuild -M /etc/mcctl/orders                # asks, begins, shows a bar
  mcctl rebuild -M /etc/mcctl/orders --way copy --max-rate 50M --yes
  mcctl rebuild -M /etc/mcctl/orders --cancel`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Job = args[0]
			}
			if !validRate(o.MaxRate) {
				return misuse(cmd, "rebuild: --max-rate %q: write kilobytes a second, or a number with k or M, from 32k to 1024M", o.MaxRate)
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
	o.Way = wire.WayAuto
	f := cmd.Flags()
	f.Var(choice{&o.Way, []string{wire.WayAuto, wire.WayRewind, wire.WayCopy, wire.WayCommand}}, "way", "auto: rewind if that is possible, else policy.rebuild_command or a copy")
	f.StringVar(&o.MaxRate, "max-rate", "", "how much to copy in a second, such as 50M (default: as fast as it goes)")
	f.BoolVar(&o.InPlace, "in-place", false, "empty the old data first: until the copy is whole this server has none")
	f.BoolVar(&o.KeepOld, "keep-old", false, "keep the old data beside the new (DATA.old) when that streams")
	f.BoolVar(&o.DryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&o.Yes, "yes", false, "do not ask")
	f.BoolVar(&o.NoWait, "no-wait", false, "return as soon as the rebuild has begun")
	f.BoolVar(&o.Cancel, "cancel", false, "give up the rebuild that is under way")
	f.BoolVar(&o.Status, "status", false, "tell how the rebuild stands")
	exclusive(cmd, "cancel", "status", "dry-run")
	return cmd
}

// validRate accepts what pg_basebackup --max-rate accepts (13 to 18).
func validRate(s string) bool {
	if s == "" {
		return true
	}
	var n int64
	unit := strings.TrimLeft(s, "0123456789")
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil {
		return false
	}
	switch unit {
	case "", "k":
	case "M":
		n <<= 10
	default:
		return false
	}
	return n >= 32 && n <= 1<<20
}

// planTimeout: the primary walks through its files to measure them.
const planTimeout = 75 * time.Second

func runRebuild(ctx context.Context, env *Env, o *rebuildOptions) error {
	v := newRebuildView(env, o)
	switch {
	case o.Cancel:
		return cancelRebuild(ctx, v)
	case o.Status:
		return tellRebuild(ctx, v)
	}
	q := o.RebuildRequest
	q.DryRun = true
	var answer wire.RebuildAnswer
	if err := v.ask(ctx, wire.KindRebuild, q, &answer); err != nil {
		return err
	}
	switch {
	case answer.Job != nil && o.DryRun:
		return v.show("running", answer)
	case answer.Job != nil:
		v.say("a rebuild is under way already: %s", answer.Job.ID)
		if o.NoWait {
			return v.event("running", *answer.Job)
		}
		return v.follow(ctx, *answer.Job)
	}
	if err := v.show("plan", answer); err != nil {
		return err
	}
	plan := answer.Plan
	switch {
	case len(plan.Problems) > 0:
		return failed(exitRefused, fmt.Errorf("rebuild: not possible: %s", strings.Join(plan.Problems, "; ")), "nothing was changed")
	case o.DryRun || plan.Way == wire.WayStraight:
		return nil
	}
	if err := confirm(ctx, v.env, "rebuild", fmt.Sprintf("Replace the data of %s?", plan.Server), v.o.Yes, v.o.Output); err != nil {
		return err
	}
	return v.begin(ctx)
}

func (v *rebuildView) begin(ctx context.Context) error {
	q := v.o.RebuildRequest
	q.DryRun = false
	var answer wire.RebuildAnswer
	if err := v.ask(ctx, wire.KindRebuild, q, &answer); err != nil {
		return err
	}
	if answer.Job == nil { // it has come right between the two questions
		return v.show("plan", answer)
	}
	v.say("%s: %s", answer.Job.ID, yes(answer.Begun, "begun", "was under way already"))
	if v.o.NoWait {
		return v.event("begun", *answer.Job)
	}
	return v.follow(ctx, *answer.Job)
}

// tellRebuild answers --status. Its exit status is the rebuild's.
func tellRebuild(ctx context.Context, v *rebuildView) error {
	job, err := v.job(ctx, v.o.Job)
	if err != nil {
		return err
	}
	v.say("%s", rebuildLine(job))
	if err := v.event("status", job); err != nil {
		return err
	}
	switch {
	case !job.Final:
		return quietly(exitGoingOn)
	case job.Phase != wire.RebuildDone:
		return quietly(exitFailed)
	}
	return nil
}

// cancelRebuild answers --cancel, and tells what became of it.
func cancelRebuild(ctx context.Context, v *rebuildView) error {
	var job wire.RebuildJob
	if err := v.ask(ctx, wire.KindRebuildCancel, wire.JobRequest{ID: v.o.Job}, &job); err != nil {
		return err
	}
	v.steps = len(job.Steps) // they are no news
	err := v.follow(ctx, job)
	switch {
	case v.last.Phase != wire.RebuildGivenUp:
		return err
	case v.last.Committed:
		v.say("it is no longer waited for; the copy is in its place and streams as soon as it can, or is replaced by the next mcctl rebuild")
	default:
		v.say("the old data is as it was; nothing is rebuilt until mcctl rebuild, or a restart of the supervisor")
	}
	return nil // that is what was asked for
}
