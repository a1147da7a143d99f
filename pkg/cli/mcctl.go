package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// The names by which this program is Mirroring Controller's.
const (
	mcctlName = "mc_ctl"
	mcarbName = "mc_arb"
)

// MainAs is Main for a program called by name: mc_ctl and mc_arb have Mirroring
// Controller's commands, options, messages and status table, any other name ours.
func MainAs(ctx context.Context, env *Env, name string, args []string) int {
	env = env.forPeople()
	v := &mcVoice{out: env.Stdout, err: env.Stderr, program: name, pid: os.Getpid()}
	var root *cobra.Command
	switch name {
	case mcctlName:
		v.letters = "MCA"
		root = newMcCtl(env, v)
	case mcarbName:
		v.letters = "MCR"
		root = newMcArb(env, v)
	default:
		return Main(ctx, env, args)
	}
	root.SetArgs(append([]string{}, args...))
	return int(v.report(root.ExecuteContext(ctx)))
}

// newMcRoot is the top of a tree of commands that already exist under other names.
func newMcRoot(env *Env, name, short string, below ...*cobra.Command) *cobra.Command {
	root := group(name, short, below...)
	root.Use = name
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetUsageTemplate(root.UsageTemplate() + exitHelp)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, "%w", err) })
	for _, cmd := range below {
		cmd.Example = strings.NewReplacer("mcctl arbiter ", name+" ", "  mcctl ", "  "+name+" ").Replace(cmd.Example)
	}
	return root
}

// newMcCtl is mc_ctl: the same commands, which speak through v, with what Mirroring
// Controller does differently.
func newMcCtl(env *Env, v *mcVoice) *cobra.Command {
	spoken := *env
	spoken.Stdout = &mcLines{voice: v}
	below := []*cobra.Command{
		newStart(&spoken, v.start), newStop(&spoken, runStop), newStatus(env, v.status),
		newSwitch(&spoken, v.doSwitch), newDetach(&spoken, runAsk),
		newEnableFailover(&spoken, runFailover), newDisableFailover(&spoken, runFailover),
	}
	for _, cmd := range below {
		localServer(cmd)
	}
	below[0].Flags().Lookup("enable-failover").Usage = "enable automatic switch and detach (the default)"
	return newMcRoot(env, mcctlName, "Mirroring Controller's command, carried out by mcctl", below...)
}

// start enables automatic switch and detach unless -F forbids it, and starting a
// standby attaches it, also one that an operator had detached. All of it together has
// the time of --timeout.
func (v *mcVoice) start(ctx context.Context, env *Env, o *startOptions) error {
	if o.Failover == "" {
		o.Failover = failoverOn
	}
	if o.Foreground {
		return runStart(ctx, env, o)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	if err := runStart(ctx, env, o); err != nil || o.McOnly {
		return err
	}
	if o.NoWait {
		o.Timeout = min(o.Timeout, time.Second)
	}
	err := attachStandby(ctx, env, o)
	if o.NoWait && err != nil && !isInterrupted(ctx) {
		_, err = fmt.Fprintln(env.Stdout, err)
	}
	return err
}

// attachStandby asks the primary to attach the server that was just started, if that
// is its standby, and waits until it is. That an operator had detached it is known to the
// primary alone, so one that is not met cannot be asked to forget it.
func attachStandby(ctx context.Context, env *Env, o *startOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	var here, there wire.ServerStatus
	for {
		st, err := control{o.Mcdir}.status(ctx)
		if err == nil {
			here, there = sides(st)
			if st.Record.Mode == pair.Paired || here.Role != pair.Standby {
				return nil
			}
			if (control{o.Mcdir}).call(ctx, wire.KindAttach, nil, nil) == nil {
				_, err = fmt.Fprintf(env.Stdout, "%s is attached\n", here.Server)
				return err
			}
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return notAttached(ctx, o, here, there)
		}
	}
}

// notAttached is a start that has no time left, or was interrupted.
func notAttached(ctx context.Context, o *startOptions, here, there wire.ServerStatus) error {
	me := string(cmp.Or(here.Server, "this server")) // that nobody has named yet
	how := cutShort(ctx, me+" is started, but not attached", o.Timeout)
	if there.Supervisor == "lost" || there.Supervisor == "refused" {
		return failed(exitGoingOn, fmt.Errorf("start: %s; %s is not reached", how, there.Server),
			"%s is attached when %s is back; if %[1]s was detached: mc_ctl start -M %[3]s once more then", me, there.Server, o.Mcdir)
	}
	return failed(exitGoingOn, fmt.Errorf("start: %s; the start goes on", how),
		"%s is attached as soon as it is close: mcctl status --watch -M %s; why not yet: mcctl explain -M %[2]s", me, o.Mcdir)
}

// sides are the answering server and the other one.
func sides(st wire.Status) (here, there wire.ServerStatus) {
	for _, s := range st.Servers {
		if s.Server == st.Local {
			here = s
		} else {
			there = s
		}
	}
	return here, there
}

// status prints Mirroring Controller's table. Without a supervisor it is an error, as
// there.
func (v *mcVoice) status(ctx context.Context, env *Env, o *statusOptions) error {
	if o.Output == formJSON || o.Watch > 0 {
		return runStatus(ctx, env, o)
	}
	st, err := control{o.Mcdir}.status(ctx)
	if err != nil {
		return err
	}
	if err := writeMcStatus(env.Stdout, st, hostsOf(o.Mcdir, st)); err != nil {
		return err
	}
	if o.Arbiter {
		_, _ = fmt.Fprintln(env.Stdout)
		if err := writeMcArbiter(env.Stdout, st.Arbiter); err != nil {
			return err
		}
	}
	if o.Check && !st.Healthy {
		return quietly(exitFailed)
	}
	return nil
}

// hostsOf are the addresses of the column host: where the supervisors talk, or, while
// pair.toml cannot be read, where clients come.
func hostsOf(mcdir string, st wire.Status) map[pair.Server]string {
	hosts := map[pair.Server]string{}
	c, err := config.Load(mcdir)
	for _, s := range st.Servers {
		hosts[s.Server] = hostOf(s.Client)
		if err == nil && c.Endpoint(s.Server).Admin != "" {
			hosts[s.Server] = hostOf(c.Endpoint(s.Server).Admin)
		}
	}
	return hosts
}

// doSwitch needs no --yes: mc_ctl never asked. What may be lost is said all the same.
func (v *mcVoice) doSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	if o.Output == formJSON {
		v, env = v.aside(env)
	}
	if !o.Force {
		return runSwitch(ctx, env, o)
	}
	before, err := control{o.Mcdir}.status(ctx)
	if err == nil {
		err = refuseForce(before)
	}
	if err != nil {
		return err
	}
	for _, line := range mayLose(before) {
		v.say(mcWarning, mcNumberWarning, line)
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
