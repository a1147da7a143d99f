package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/setup"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// startOptions are the flags of mcctl start.
type startOptions struct {
	superviseOptions
	NoWait     bool
	Foreground bool
	Timeout    time.Duration
}

func newStart(env *Env, run func(context.Context, *Env, *startOptions) error) *cobra.Command {
	o := &startOptions{}
	var wait, enable, disable bool
	cmd := needServer(&cobra.Command{
		Use:   "start",
		Short: "Start the supervisor of this server, and with it PostgreSQL",
		Long: `Start the supervisor of this server in the background, where it is kept running.
It starts PostgreSQL in the role that the record says, and attaches a standby.

If a supervisor is running already, that is said, and PostgreSQL is waited for; with
--foreground the exit status is 4 then. So it is where PostgreSQL is left down, as
--mc-only said: that ends when somebody starts PostgreSQL, or the supervisor without
that option.`,
		Example: `  mcctl start -M /etc/mcctl/orders            # wait until PostgreSQL is up in its role
  mcctl start -M /etc/mcctl/orders -W         # only until the supervisor answers
  mcctl start -M /etc/mcctl/orders -F         # automatic switch and detach stay off
  mcctl start -M /etc/mcctl/orders --mc-only  # leave PostgreSQL down if it is down
  mcctl start -M /etc/mcctl/orders --foreground   # for systemd and containers`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.NoWait = o.NoWait || !wait
			switch {
			case enable:
				o.Failover = failoverOn
			case disable:
				o.Failover = failoverOff
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	f := cmd.Flags()
	f.BoolVarP(&wait, "wait", "w", true, "wait until PostgreSQL is up in its role")
	f.BoolVarP(&o.NoWait, "no-wait", "W", false, "return as soon as the supervisor answers")
	f.BoolVarP(&enable, "enable-failover", "f", false, "enable automatic switch and detach (neither -f nor -F: as it was)")
	f.BoolVarP(&disable, "disable-failover", "F", false, "disable automatic switch and detach")
	f.BoolVar(&o.McOnly, "mc-only", false, "start the supervisor only; leave a PostgreSQL that is down as it is")
	f.BoolVar(&o.Async, "async-connect-arbiter", false, "start even if the arbiter cannot be reached yet")
	f.BoolVar(&o.Foreground, "foreground", false, "be the supervisor, in this process")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Minute, "how long to wait; the start goes on afterwards")
	exclusive(cmd, "wait", "no-wait")
	exclusive(cmd, "enable-failover", "disable-failover")
	return cmd
}

func runStart(ctx context.Context, env *Env, o *startOptions) error {
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	if err := checkOwner("start", env.Euid(), c); err != nil {
		return err
	}
	if setup.Unfinished(o.Mcdir) {
		return failed(exitRefused, fmt.Errorf("start: mcctl init has not come to its end in %s", o.Mcdir), "run that mcctl init again: it goes on where it was")
	}
	if err := checkFiles(c); err != nil {
		return err
	}
	if st, err := (control{o.Mcdir}).present(ctx); err == nil {
		_, _ = fmt.Fprintf(env.Stdout, "the supervisor of %s is already running\n", st.Local)
		if o.Foreground {
			return quietly(exitRefused) // systemd would take this process for the supervisor, and is not to try again
		}
		return startedBefore(ctx, env, o, st)
	} else if !errors.Is(err, errNotRunning) || isInterrupted(ctx) {
		return notAsked(ctx, "start", err, "end it first: mcctl stop -e --mc-only -M %s", o.Mcdir)
	}
	if o.Foreground {
		return runSupervise(ctx, env, &o.superviseOptions)
	}
	return startDaemon(ctx, env, o, c)
}

func startDaemon(ctx context.Context, env *Env, o *startOptions, c *config.Config) error {
	from := logLength(o.Mcdir)
	args := o.args()
	args[0] = "watch-supervisor"
	d, err := launch(env, o.Mcdir, args...)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	ctx, vain := context.WithCancelCause(ctx)
	defer vain(nil)
	refusal := ""
	var st wire.Status
	err = d.until(ctx, from, func(ctx context.Context) (bool, string) {
		var err error
		if st, err = (control{o.Mcdir}).status(ctx); err != nil {
			return false, ""
		}
		if refusal = refusalOf(st); refusal != "" && !o.NoWait {
			vain(errLasting)
		}
		return o.NoWait || isUp(st, o.McOnly), waitingFor(st)
	}, func(waiting string) { _, _ = fmt.Fprintln(env.Stdout, waiting) })
	if errors.Is(err, errLasting) {
		return o.refused(refusal)
	}
	if isCut(err) {
		return o.notYet(ctx)
	}
	if err != nil {
		return fmt.Errorf("start supervisor of %s: %w", c.Me(), err)
	}
	_, _ = fmt.Fprintf(env.Stdout, "the supervisor of %s is running\n", c.Me())
	o.tellFailover(env, st)
	return nil
}

func (o *startOptions) refused(why string) error {
	return failed(exitFailed, fmt.Errorf("start: %s", why), "the supervisor goes on trying; after a change of server.toml: mcctl stop -M %s, then start it again", o.Mcdir)
}

func (o *startOptions) notYet(ctx context.Context) error {
	return failed(exitGoingOn, fmt.Errorf("start: %s; the start goes on", cutShort(ctx, "PostgreSQL is not up", o.Timeout)), "follow it: mcctl status --watch -M %s; why: mcctl explain -M %s", o.Mcdir, o.Mcdir)
}

// startedBefore is a start where the supervisor runs already: what its options say of a
// supervisor is not done, and told; PostgreSQL is waited for as ever.
func startedBefore(ctx context.Context, env *Env, o *startOptions, st wire.Status) error {
	o.tellFailover(env, st)
	if st.LeftDown && !o.McOnly {
		return failed(exitRefused, fmt.Errorf("start: PostgreSQL of %s is left down, as start --mc-only said", st.Local), "start the supervisor anew: mcctl stop -M %s, then mcctl start -M %s", o.Mcdir, o.Mcdir)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	for before := ""; !o.NoWait && !isUp(st, o.McOnly); {
		if why := refusalOf(st); why != "" {
			return o.refused(why)
		}
		if waiting := waitingFor(st); waiting != before {
			before = waiting
			_, _ = fmt.Fprintln(env.Stdout, waiting)
		}
		err := sleep(ctx, 100*time.Millisecond)
		if err == nil {
			st, err = control{o.Mcdir}.status(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return o.notYet(ctx)
		case err != nil:
			return err
		}
	}
	return nil
}

// tellFailover says that failover is not as the options have it: a supervisor that ran before
// is not told, and one of the other server that has it off counts for both.
func (o *startOptions) tellFailover(env *Env, st wire.Status) {
	if on := o.Failover == failoverOn; o.Failover != "" && on != st.Failover {
		_, _ = fmt.Fprintf(env.Stdout, "automatic switch and detach stay %s: mcctl %s-failover -M %s\n", yes(on, "disabled", "enabled"), yes(on, "enable", "disable"), shell.Word(o.Mcdir))
	}
}

// errLasting is the cause of a context that ended because waiting is in vain.
var errLasting = errors.New("waiting is in vain")

// refusalOf is what PostgreSQL refuses on this server, if waiting will not change it.
func refusalOf(st wire.Status) string {
	for _, s := range st.Servers {
		if s.Server == st.Local && s.Lasting {
			return s.Problem
		}
	}
	return ""
}

// isUp: PostgreSQL serves in its role, and nobody has asked for its stop. With --mc-only
// a server that was down may stay so.
func isUp(st wire.Status, mcOnly bool) bool {
	for _, s := range st.Servers {
		if s.Server == st.Local && !stops(s.Rule) {
			return s.Postgres == wire.ReportOpen || s.Postgres == wire.ReportStandby ||
				mcOnly && s.Postgres == wire.ReportDown
		}
	}
	return false
}

// stops: by that rule an operator's stop is under way.
func stops(rule int) bool {
	return slices.ContainsFunc(decide.Rules, func(r decide.Rule) bool { return r.ID == rule && r.Do == decide.Stop })
}

// waitingFor is what the local supervisor is at.
func waitingFor(st wire.Status) string {
	for _, s := range st.Servers {
		if s.Server != st.Local || s.Rule == 0 {
			continue
		}
		if s.Problem != "" {
			return fmt.Sprintf("%s: %s", s.Server, s.Problem)
		}
		if s.Doing != "" {
			return fmt.Sprintf("%s: %s (rule %d: %s)", s.Server, s.Doing, s.Rule, s.Why)
		}
		step := ""
		if strings.Contains(st.NextStep, "mcctl rebuild") { // nothing will come of waiting
			step = "; " + st.NextStep
		}
		return fmt.Sprintf("%s: rule %d: %s%s", s.Server, s.Rule, s.Why, step)
	}
	return ""
}

// checkOwner refuses everybody but the owner of the data directory, by name:
// PostgreSQL does not run as root, and files of a second user would keep the
// right one from starting later. A data directory that is missing is no reason to
// refuse: it may be about to be rebuilt.
func checkOwner(command string, euid int, c *config.Config) error {
	info, err := os.Stat(c.Server.DataDirectory)
	if err != nil {
		if euid == 0 {
			return failed(exitRefused, fmt.Errorf("%s: refused as root: PostgreSQL does not run as root", command), "run it as the user who shall own %s", c.Server.DataDirectory)
		}
		return nil
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case euid == 0 && owner == 0:
		return failed(exitRefused, fmt.Errorf("%s: refused as root: PostgreSQL does not run as root, but root owns data directory %s", command, c.Server.DataDirectory),
			"give it to the right user: chown -R postgres: %s", c.Server.DataDirectory)
	case owner == 0:
		return failed(exitRefused, fmt.Errorf("%s: refused: data directory %s belongs to root, and PostgreSQL does not run as root", command, c.Server.DataDirectory),
			"check data_directory in %s; or give it to the right user: chown -R postgres: %s", c.Dir+"/"+config.ServerFile, c.Server.DataDirectory)
	case euid != int(owner):
		return notTheOwner(command, euid, owner, c)
	case info.Mode().Perm()&0o027 != 0:
		return failed(exitRefused, fmt.Errorf("%s: refused: data directory %s can be reached by others (mode %04o); PostgreSQL would not start", command, c.Server.DataDirectory, info.Mode().Perm()),
			"chmod 0700 %s", c.Server.DataDirectory)
	}
	return nil
}

func notTheOwner(command string, euid int, owner uint32, c *config.Config) error {
	return failed(exitRefused, fmt.Errorf("%s: refused%s: data directory %s belongs to %s", command, yes(euid == 0, " as root", ""), c.Server.DataDirectory, userName(owner)),
		"run it as that user: %s mcctl %s -M %s", yes(euid == 0, "runuser -u "+userName(owner)+" --", "sudo -u "+userName(owner)), command, c.Dir)
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return u.Username
}
