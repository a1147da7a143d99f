package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mcctl/pkg/lab"
)

// labUpOptions are the flags of mcctl lab up.
type labUpOptions struct {
	Dir     string
	Arbiter string
	Port    int
	BinDir  string
	User    string
	PG      []string
	Profile string
}

func newLabUp(env *Env, run func(context.Context, *Env, *labUpOptions) error) *cobra.Command {
	o := &labUpOptions{}
	cmd := labCommand(&cobra.Command{
		Use:   "up",
		Short: "Make a lab, or start one that is there",
		Long: `Make two PostgreSQL servers, their supervisors and an arbiter below DIR, start them
and wait until the pair is paired. A lab that is there is started with its data as
it is. Everything listens on 127.0.0.1 only.`,
		Example: `  mcctl lab up /tmp/lab
  mcctl lab up /tmp/lab --arbiter none --pg shared_buffers=64MB --pg wal_level=logical
  eval "$(mcctl lab env /tmp/lab)"; psql "$PGURI"`,
	}, &o.Dir, func(ctx context.Context) error { return run(ctx, env, o) })
	f := cmd.Flags()
	f.Var(choice{&o.Arbiter, []string{"witness", "etcd", "command", "none"}}, "arbiter", "who keeps the record (default: witness)")
	f.IntVar(&o.Port, "port", 0, "first of 21 ports (default: a free block)")
	f.StringVar(&o.BinDir, "bin-dir", "", "`directory` of PostgreSQL's programs (default: the newest found)")
	f.StringVar(&o.User, "user", "", "as root: the `user` that everything runs as (default: postgres)")
	f.StringArrayVar(&o.PG, "pg", nil, "a `setting=value` for both postgresql.conf; may be repeated")
	f.Var(choice{&o.Profile, []string{"default", "tight"}}, "profile", "timings of the pair")
	return cmd
}

func runLabUp(ctx context.Context, env *Env, o *labUpOptions) error {
	settings, err := pgSettings(o.PG)
	if err != nil {
		return err
	}
	program, err := env.Executable()
	if err != nil {
		return fmt.Errorf("lab up: find this program: %w", err)
	}
	l, err := lab.Up(ctx, lab.Options{
		Dir: o.Dir, Arbiter: o.Arbiter, Port: o.Port, BinDir: o.BinDir, User: o.User,
		Settings: settings, Profile: o.Profile, Mcctl: program, Out: env.Stdout,
	})
	if err != nil {
		return failed(exitFailed, err, "the same command goes on from here; mcctl lab down %s --wipe removes everything", o.Dir)
	}
	_, _ = fmt.Fprintf(env.Stdout, "the lab is up; next: eval \"$(mcctl lab env %s)\"\n", l.Dir)
	return nil
}

func pgSettings(words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	settings := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, failed(exitUsage, fmt.Errorf("lab up: --pg %q is not setting=value", word), "for example: --pg shared_buffers=64MB")
		}
		settings[name] = value
	}
	return settings, nil
}
