package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/shell"
)

// rollingOptions are the flags of mcctl rolling-update.
type rollingOptions struct {
	Mcdir      string
	Output     string
	Exec       string
	SwitchBack bool
	Yes        bool
	Done       bool
	DryRun     bool
	Status     bool
	Abort      bool
	Timeout    time.Duration
}

func newRollingUpdate(env *Env, run func(context.Context, *Env, *rollingOptions) error) *cobra.Command {
	o := &rollingOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "rolling-update",
		Short: "Do maintenance on this server while the other one serves",
		Long: `Take this server out of the pair, do maintenance on it, and bring it back. A
standby is stopped; a primary is switched to the other server first. Run it on the
standby, and when it is done on the other server, which it names.

The maintenance is the command of --exec, which runs while the supervisor and
PostgreSQL are down here, with MCCTL_SERVER, MCCTL_PAIR, MCCTL_MCDIR,
MCCTL_DATA_DIRECTORY, MCCTL_BIN_DIRECTORY and MCCTL_TRY in its environment. Without
--exec the command ends there, for you to do it, and --done goes on.

The plan is shown first. Each step is saved before it begins: after Ctrl-C, a
failure, kill -9 or a reboot the same command goes on, and does the step under way
once more, the maintenance too. --abort gives up what is left and starts this server
as it is.`,
		Example: `  mcctl rolling-update -M /etc/mcctl/orders --exec 'sudo -n /usr/local/sbin/update-postgresql'
  mcctl rolling-update -M /etc/mcctl/orders             # goes on, wherever it was
  mcctl rolling-update -M /etc/mcctl/orders --done      # you have done the maintenance
  mcctl rolling-update -M /etc/mcctl/orders --abort`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	f := cmd.Flags()
	f.StringVar(&o.Exec, "exec", "", "the maintenance, a `command` for the shell")
	f.BoolVar(&o.SwitchBack, "switch-back", false, "on the primary: make it the primary again in the end")
	f.BoolVar(&o.Yes, "yes", false, "do not ask")
	f.BoolVar(&o.Done, "done", false, "the maintenance has been done by hand")
	f.BoolVar(&o.DryRun, "dry-run", false, "only show the plan")
	f.BoolVar(&o.Status, "status", false, "tell how far it has come")
	f.BoolVar(&o.Abort, "abort", false, "give up what is left, and start this server")
	f.DurationVar(&o.Timeout, "timeout", 30*time.Minute, "how long each step but the maintenance may take")
	exclusive(cmd, "exec", "done", "status", "abort")
	exclusive(cmd, "dry-run", "status", "abort")
	return cmd
}

// updater is one run of the command.
type updater struct {
	env     *Env
	o       *rollingOptions
	control control
	conf    *config.Config
	quiet   *Env // for the commands that are the steps: their text is not the result
	*updateState
}

func runRollingUpdate(ctx context.Context, env *Env, o *rollingOptions) error {
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	u := &updater{env: env, o: o, control: control{o.Mcdir}, conf: c, quiet: env}
	if o.Output == formJSON {
		quiet := *env
		quiet.Stdout = env.Stderr
		u.quiet = &quiet
	}
	if u.updateState, err = readUpdate(o.Mcdir); err != nil {
		return err
	}
	if o.Status {
		return u.tell()
	}
	if err := checkOwner("rolling-update", env.Euid(), c); err != nil {
		return err
	}
	release, err := claim(filepath.Join(o.Mcdir, "run", "rolling-update.pid"))
	if errors.Is(err, errHeld) {
		return failed(exitRefused, errors.New("rolling-update: another one is at work here"), "follow it: mcctl rolling-update --status -M %s", o.Mcdir)
	}
	if err != nil {
		return err
	}
	defer release()
	if u.updateState, err = readUpdate(o.Mcdir); err != nil { // it may have gone on before the claim
		return err
	}
	if o.Abort {
		return u.abort(ctx)
	}
	return u.run(ctx)
}

// run begins an update or goes on with one, and does its steps.
func (u *updater) run(ctx context.Context) error {
	// At check nothing has been done yet, and who is primary may be another by now.
	if u.updateState == nil || u.final() || u.Step == updateCheck {
		if u.o.Done {
			return failed(exitRefused, errors.New("rolling-update: none is under way here"), "begin one: mcctl rolling-update -M %s", u.o.Mcdir)
		}
		if err := u.begin(ctx); err != nil || u.o.DryRun {
			return err
		}
	} else {
		if u.o.Done && u.before(updateMaintain) {
			return failed(exitRefused, fmt.Errorf("rolling-update: it is in step %s, before the maintenance", u.Step), "let it come there first: mcctl rolling-update -M %s", u.o.Mcdir)
		}
		if err := errors.Join(u.mayComeBack(u.Server, u.Primary), u.mayRun()); err != nil {
			return err
		}
		u.say("going on with the rolling update of %s that began at %s, with: %s", u.Server, u.Began.Format(time.DateTime), u.Step)
		u.Exec = cmp.Or(u.o.Exec, u.Exec)
		if u.o.Exec != "" && u.after(updateMaintain) {
			u.say("the maintenance was run already, and is not run again")
		}
		if u.o.SwitchBack { // planned last, so that nothing before it becomes another
			u.Steps = planUpdate(u.Primary, true)
		}
		if u.o.DryRun {
			return u.showPlan()
		}
	}
	for _, step := range u.left() {
		u.Step, u.Note = step, ""
		if err := u.save(u.o.Mcdir); err != nil {
			return u.ended(ctx, err)
		}
		u.say("%s: %s", step, u.stepText(step, u.conf.Other()))
		if err := u.event("step"); err != nil {
			return err
		}
		if err := u.do(ctx, step); err != nil {
			return u.ended(ctx, err)
		}
	}
	u.Step = updateDone
	if err := u.save(u.o.Mcdir); err != nil {
		return u.ended(ctx, err)
	}
	u.say("done: %s", u.next())
	return u.event("done")
}

// begin plans an update, shows it and asks.
func (u *updater) begin(ctx context.Context) error {
	st, err := u.control.status(ctx)
	if err != nil {
		return err
	}
	primary := st.Record.Primary == st.Local
	if err := u.mayComeBack(st.Local, primary); err != nil {
		return err
	}
	now := time.Now()
	command, back := u.o.Exec, u.o.SwitchBack
	if u.updateState != nil && !u.final() {
		command = cmp.Or(command, u.Exec)
		back = back || slices.Contains(u.Steps, updateSwitchBack)
	}
	u.updateState = &updateState{
		ID: fmt.Sprintf("update-%x", now.UnixMilli()), Began: now.Truncate(time.Second), Server: st.Local, Primary: primary,
		Exec: command, Steps: planUpdate(primary, back), Step: updateCheck,
	}
	if err := u.showPlan(); err != nil || u.o.DryRun {
		return err
	}
	return confirm(ctx, u.env, "rolling-update", "Begin?", u.o.Yes, u.o.Output)
}

// mayComeBack refuses --switch-back of a server that was not the primary: the plan would
// leave it out, and whoever has asked for it would wait for a switch.
func (u *updater) mayComeBack(server pair.Server, primary bool) error {
	if !u.o.SwitchBack || primary {
		return nil
	}
	return failed(exitRefused, fmt.Errorf("rolling-update: --switch-back is for the primary, which %s is not", server),
		"leave it out here; it is for the update of %s", u.conf.Other())
}

// mayRun refuses another maintenance where that of the update under way is over: it would
// never be run, and the update would end as done.
func (u *updater) mayRun() error {
	if u.o.Exec == "" || u.o.Exec == u.Exec || !u.after(updateMaintain) {
		return nil
	}
	return failed(exitRefused, fmt.Errorf("rolling-update: the one of %s that began at %s is in step %s, and its maintenance was another: %s", u.Server, u.Began.Format(time.DateTime), u.Step, cmp.Or(u.Exec, "done by hand")),
		"go on with it: mcctl rolling-update -M %[1]s; or give up what is left: mcctl rolling-update --abort -M %[1]s; then begin this one", u.o.Mcdir)
}

func (u *updater) showPlan() error {
	if u.Primary && u.Step == updateCheck {
		u.say("%s is the primary. A standby is updated first: if %s has not been, begin there.", u.Server, u.conf.Other())
	}
	for _, step := range u.left() {
		u.say("  %-12s %s", step, u.stepText(step, u.conf.Other()))
	}
	return u.event("plan")
}

// ended notes why a run did not come to its end, and says how to go on.
func (u *updater) ended(ctx context.Context, err error) error {
	hint := fmt.Sprintf("go on: mcctl rolling-update -M %[1]s; or give up what is left: mcctl rolling-update --abort -M %[1]s", shell.Word(u.o.Mcdir))
	status := exitFailed
	var f *failure
	switch {
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	case errors.Is(err, errYourTurn):
		status, hint = exitGoingOn, fmt.Sprintf("when it is done: mcctl rolling-update --done -M %[1]s; or give up: mcctl rolling-update --abort -M %[1]s", shell.Word(u.o.Mcdir))
	case errors.As(err, &f):
		if status = f.status; status == exitGoingOn { // what a script takes for the word to begin the maintenance
			status = exitFailed
		}
		if f.hint != "" {
			hint = f.hint + "; then " + hint
		}
	}
	u.Note = err.Error()
	if saved := u.save(u.o.Mcdir); saved != nil && !errors.Is(err, errUnsaved) {
		err = errors.Join(err, saved)
	}
	err = errors.Join(err, u.event("ended"))
	return failed(status, fmt.Errorf("rolling-update: in step %s: %w", u.Step, err), "%s", hint)
}

// abort starts this server if it is down, and forgets the rest once it is up.
func (u *updater) abort(ctx context.Context) error {
	if u.updateState == nil || u.final() {
		return failed(exitRefused, errors.New("rolling-update: none is under way here"), "nothing was changed")
	}
	held, err := u.holdCommand()
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	if err := u.do(ctx, updateStart); err != nil {
		return u.ended(ctx, err)
	}
	if err := durable.Remove(updateFile(u.o.Mcdir)); err != nil {
		return fmt.Errorf("rolling-update: %w", err)
	}
	u.say("given up in step %s; %s is started as it is", u.Step, u.Server)
	return u.event("given-up")
}

// tell answers --status.
func (u *updater) tell() error {
	if u.updateState == nil {
		u.say("no rolling update was made here")
		return u.event("none")
	}
	if err := u.event("status"); err != nil {
		return err
	}
	if u.final() {
		u.say("%s: done; %s", u.ID, u.next())
		return nil
	}
	u.say("%s of %s: in step %s%s", u.ID, u.Server, u.Step, yes(u.Note != "", ": "+u.Note, ""))
	return quietly(exitGoingOn)
}

// next says what comes after this server.
func (u *updater) next() string {
	if u.Primary {
		return fmt.Sprintf("if %s was updated before, both are; see mcctl check, and take a backup", u.conf.Other())
	}
	return fmt.Sprintf("next is %s: run mcctl rolling-update there", u.conf.Other())
}

func (u *updater) say(format string, args ...any) {
	_, _ = fmt.Fprintf(u.quiet.Stdout, format+"\n", args...)
}

// event tells a program.
func (u *updater) event(name string) error {
	if u.o.Output != formJSON {
		return nil
	}
	err := json.NewEncoder(u.env.Stdout).Encode(struct {
		Event string `json:"event"`
		*updateState
	}{name, u.updateState})
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
