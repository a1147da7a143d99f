package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/setup"
	"mcctl/pkg/shell"
)

// initOptions are the flags of mcctl init.
type initOptions struct {
	Mcdir     string
	Plan      setup.Plan
	Members   []string // of an etcd
	Mappings  []string // of tablespaces
	NoArbiter bool
	Join      bool
	JoinFile  string
	Arbiter   bool
	Serve     bool
	Life      time.Duration
	Yes       bool
	Restart   bool
	cmd       *cobra.Command
}

func newInit(env *Env, run func(context.Context, *Env, *initOptions) error) *cobra.Command {
	o := &initOptions{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the management directory of a server or of an arbiter",
		Long: `Make the management directory of a server or of an arbiter. On a terminal it asks
for what the flags leave open.

The first server: with a new PostgreSQL where the data directory is missing or
empty, else over the PostgreSQL that runs there, whose edits are shown first and
which is not restarted unless you agree (--restart).

The arbiter of the pair is a witness unless --arbiter-kind or a flag of another kind
says otherwise. These flags are those of mcctl arbiter move: files for etcd are the
same on both servers, relative to the management directory, which may hold them in
tls before. Commands are of one host: the second server needs the flags, too.

The second server, and an arbiter: they join with a token, one line that
mcctl init --serve-token prints on the first server, where it waits for them.
The token is read from a file (--join-file), or from standard input (--join).

Cut off at any point, the same command goes on.`,
		Example: `  mcctl init -M /etc/mcctl/orders                      # asks
  mcctl init --serve-token -M /etc/mcctl/orders            # on the first server
  mcctl init --join -M /etc/mcctl/orders --data-directory /var/lib/postgresql/15/main
  mcctl init --serve-token --arbiter -M /etc/mcctl/orders  # on the first server
  mcctl init --arbiter --join -M /etc/mcctl/arbiter`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.cmd = cmd
			return run(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Mcdir, "mcdir", "M", "", "management `directory` to make (default: $MCCONTROLDIR)")
	cmd.PreRunE = func(*cobra.Command, []string) (err error) {
		o.Mcdir, err = newMcdirName(env, o.Mcdir)
		return err
	}
	f.BoolVar(&o.Join, "join", false, "join with a token, which is read from standard input")
	f.StringVar(&o.JoinFile, "join-file", "", "join with the token in this `file`")
	f.BoolVar(&o.Arbiter, "arbiter", false, "make an arbiter's directory; with --serve-token: wait for an arbiter")
	f.BoolVar(&o.Serve, "serve-token", false, "print a token and wait until its bearer has joined")
	f.DurationVar(&o.Life, "life", 15*time.Minute, "how long the token may be used")
	f.BoolVar(&o.Yes, "yes", false, "agree to the edits of PostgreSQL's files")
	f.BoolVar(&o.Restart, "restart", false, "agree to a restart of PostgreSQL")
	planFlags(cmd, &o.Plan)
	f.StringSliceVar(&o.Mappings, "tablespace-mapping", nil, "`OLD=NEW`: where a tablespace of the first server in OLD lies on the second, also several with commas (default: OLD)")
	f.StringSliceVar(&o.Members, "arbiter-"+endpointsFlag.name, nil, endpointsFlag.usage())
	f.BoolVar(&o.NoArbiter, "no-arbiter", false, "the same as --arbiter-kind none: a dead primary host waits for an operator")
	exclusive(cmd, "join", "join-file", "serve-token")
	exclusive(cmd, "arbiter-address", "no-arbiter")
	exclusive(cmd, "arbiter-kind", "no-arbiter")
	return cmd
}

// planFlags gives the command a flag for each answer.
func planFlags(cmd *cobra.Command, p *setup.Plan) {
	f := cmd.Flags()
	f.StringVar(&p.Pair, "pair", "", "`name` of the pair")
	f.StringVar(&p.Name, "name", "", "`name` of this server")
	f.StringVar(&p.Admin, "admin", "", "`host:port` of this server's supervisor")
	f.StringVar(&p.Replication, "replication", "", "`host:port` of this server's PostgreSQL, as the other server reaches it")
	f.StringVar(&p.Client, "client", "", "`host:port` of this server's PostgreSQL, as clients reach it (default: --replication)")
	f.StringVar(&p.Other, "other-name", "", "`name` of the other server")
	f.StringVar(&p.OtherAdmin, "other-admin", "", "`host:port` of the other server's supervisor")
	f.StringVar(&p.OtherReplication, "other-replication", "", "`host:port` of the other server's PostgreSQL, as this one reaches it")
	f.StringVar(&p.OtherClient, "other-client", "", "`host:port` of the other server's PostgreSQL, as clients reach it (default: --other-replication)")
	f.StringVar(&p.ArbiterKind, "arbiter-kind", "", "`kind` of the arbiter: "+arbiterKinds+" (default: witness, or the kind that the other flags are of)")
	for _, a := range arbiterFlags() {
		f.StringVar(p.Answer("arbiter-"+a.name), "arbiter-"+a.name, "", a.usage())
	}
	f.StringVar(&p.Arbitration, arbitrationFlag.name, "", arbitrationFlag.usage())
	f.StringVar(&p.Fencing, "fencing-command", "", "`file` of this host that cuts the other server off; an arbiter of kind command needs it")
	f.StringVar(&p.Profile, "profile", "", "`profile` of the timings: default or tight")
	f.StringVar(&p.DataDirectory, "data-directory", "", "PostgreSQL's data `directory`")
	f.StringVar(&p.Bin, "bin-directory", "", "`directory` of PostgreSQL's programs (default: found)")
	f.StringVar(&p.Socket, "socket-directory", "", "`directory` of PostgreSQL's unix socket (default: found)")
	f.StringVar(&p.User, "user", "", "superuser `role` that the supervisor connects as (default: the name of the system's user)")
	f.StringVar(&p.Database, "database", "", "`database` that the supervisor connects to (default: postgres)")
	f.StringVar(&p.Replicator, "replication-user", "", "`role` to make for replication (default: mcctl_replication)")
	f.StringVar(&p.Locale, "locale", "", "`locale` of a new cluster (default: C)")
	f.StringVar(&p.ConfigFile, "config-file", "", "postgresql.conf of a second server, if it is not in the data directory")
	f.StringVar(&p.HBAFile, "hba-file", "", "the same for pg_hba.conf")
	f.StringVar(&p.IdentFile, "ident-file", "", "the same for pg_ident.conf")
	f.StringVar(&p.WAL, "waldir", "", "`directory` that pg_wal of a second server leads to (default: it is in the data directory)")
	f.StringVar(&p.CA, "ca", "", "`directory` of a certificate authority to use (default: a new one; a token's), with --serve-token: of the pair's (default: ca in the management directory)")
	f.StringVar(&p.Listen, "listen", "", "`host:port` that an arbiter listens on (default: the port in pair.toml), or --serve-token (default: --admin)")
}

func newMcdirName(env *Env, dir string) (string, error) {
	if dir == "" {
		dir = env.Getenv("MCCONTROLDIR")
	}
	if dir == "" {
		return "", failed(exitUsage, errors.New("no management directory was named"), "give -M DIR, or set the environment variable MCCONTROLDIR")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find management directory: %w", err)
	}
	return dir, nil
}

func runInit(ctx context.Context, env *Env, o *initOptions) error {
	if env.Euid() == 0 {
		return failed(exitRefused, errors.New("init: refused as root: what it makes belongs to the user who runs PostgreSQL, or the arbiter"), "runuser -u postgres -- mcctl init ...")
	}
	a := newAsker(env, o)
	s := &setup.Setup{Dir: o.Mcdir, Now: time.Now, Say: a.say, Agree: a.agree, Progress: a.progress()}
	if o.Serve {
		return explainInit(o, s.Serve(ctx, setup.ServeOptions{Arbiter: o.Arbiter, Life: o.Life, Listen: o.Plan.Listen, CA: o.Plan.CA, Token: a.showToken}))
	}
	kind, _, finished, err := s.Load()
	if err != nil {
		return explainInit(o, err)
	}
	if finished && kind == setup.First && o.Restart {
		waiting, err := s.Restart(ctx)
		if err == nil && len(waiting) == 0 {
			a.say("nothing waits for a restart of PostgreSQL")
		}
		return explainInit(o, err)
	}
	if finished {
		a.say(o.Mcdir + " is complete already; nothing was changed")
		return nil
	}
	want := o.kind(kind)
	if err := o.settle(want); err != nil {
		return err
	}
	if kind == "" {
		if err := a.answers(ctx, want); err != nil {
			return err
		}
	}
	token, err := a.token(ctx, s)
	if err != nil {
		return err
	}
	return explainInit(o, a.patiently(ctx, s, want, token))
}

// Flags that are answered for one kind of directory only: what the first server has said
// the others have from there.
var (
	secondFlags = []string{"config-file", "hba-file", "ident-file", "waldir", "tablespace-mapping"}
	firstFlags  = []string{
		"pair", "name", "admin", "replication", "client", "other-name", "other-admin", "other-replication", "other-client",
		"arbiter-kind", "no-arbiter", "profile", "user", "database", "replication-user", "locale",
	}
)

// settle makes of the flags what the plan has, and refuses those of another kind.
func (o *initOptions) settle(kind string) error {
	if kind != setup.Second {
		for _, flag := range secondFlags {
			if o.cmd.Flags().Changed(flag) {
				return misuse(o.cmd, "init: --%s is for a second server, with --join", flag)
			}
		}
	}
	if kind != setup.First {
		for _, flag := range firstFlags {
			if o.cmd.Flags().Changed(flag) {
				return misuse(o.cmd, "init: --%s is for the first server: it is known here from there", flag)
			}
		}
	}
	o.Plan.Tablespaces = strings.Join(o.Mappings, ",")
	given := o.cmd.Flags().Changed
	o.Plan.NoWAL, o.Plan.NoMapping = given("waldir") && o.Plan.WAL == "", given("tablespace-mapping") && o.Plan.Tablespaces == ""
	if kind != setup.First {
		return nil
	}
	return o.settleArbiter()
}

// patiently makes what is wanted when a call before this one, that was killed, has let
// go of the directory: a program that it was just starting holds that a moment longer.
func (a *asker) patiently(ctx context.Context, s *setup.Setup, kind string, token setup.Token) error {
	for began := time.Now(); ; {
		err := a.make(ctx, s, kind, token)
		if !errors.Is(err, setup.ErrHeld) || time.Since(began) > claimPatience {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// kind is what shall be made. The same command without flags goes on with what is there.
func (o *initOptions) kind(begun string) string {
	switch {
	case o.Arbiter:
		return setup.Arbiter
	case o.Join || o.JoinFile != "":
		return setup.Second
	case begun != "":
		return begun
	}
	return setup.First
}

func (a *asker) make(ctx context.Context, s *setup.Setup, kind string, token setup.Token) error {
	dir := shell.Word(a.o.Mcdir)
	switch kind {
	case setup.Arbiter:
		if err := s.MakeArbiter(ctx, token, a.o.Plan); err != nil {
			return err
		}
		a.say(fmt.Sprintf("the arbiter's directory is complete; next:\n  mcctl arbiter start -M %s", dir))
	case setup.Second:
		if err := s.Join(ctx, token, a.o.Plan); err != nil {
			return err
		}
		a.say(fmt.Sprintf("this server has joined; next:\n  mcctl start -M %s", dir))
	default:
		waiting, err := s.First(ctx, a.o.Plan)
		if err != nil {
			return err
		}
		if len(waiting) > 0 {
			a.say(fmt.Sprintf("NOT YET: restart PostgreSQL when it suits you (mcctl init --restart -M %s does it); until then %s will not change, and the second server cannot join", dir, strings.Join(waiting, ", ")))
		}
		_, plan, _, err := s.Load()
		if err != nil {
			return err
		}
		a.say("the first server is ready; next:" + afterFirst(plan, dir))
	}
	return nil
}

// afterFirst is what remains to be done for a pair.
func afterFirst(plan setup.Plan, dir string) (text string) {
	if plan.ArbiterKind == string(config.Witness) {
		text = fmt.Sprintf("\n  mcctl init --serve-token --arbiter -M %s   and join the arbiter", dir)
	}
	return text + fmt.Sprintf("\n  mcctl init --serve-token -M %[1]s             and join the second server\n  mcctl start -M %[1]s                          and start the others", dir)
}

// explainInit gives an error its exit status and says how to go on.
func explainInit(o *initOptions, err error) error {
	next := yes(errors.Is(err, errInterrupted), "run", "when that is mended run") + " the same command again: it goes on"
	if _, missing := os.Stat(filepath.Join(o.Mcdir, "init.json")); missing != nil {
		next = "nothing was changed"
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, setup.ErrNotEmpty), errors.Is(err, setup.ErrInTheWay), errors.Is(err, setup.ErrSupervised), errors.Is(err, setup.ErrPaired):
		return failed(exitRefused, fmt.Errorf("init: %w", err), "%s", next)
	case errors.Is(err, setup.ErrAnswers), errors.Is(err, setup.ErrNoAuthority):
		return failed(exitUsage, fmt.Errorf("init: %w", err), "nothing was changed")
	case errors.Is(err, setup.ErrDeclined):
		return failed(exitRefused, fmt.Errorf("init: %w", err), "agree with --yes; a restart is agreed to by --restart")
	}
	return failed(exitFailed, fmt.Errorf("init: %w", err), "%s", next)
}
