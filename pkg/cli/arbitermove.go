package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

// moveOptions are the flags of mcctl arbiter move.
type moveOptions struct {
	Mcdir   string
	Output  string
	Kind    string
	Texts   map[string]*string // by key below arbiter. in pair.toml
	Members []string           // etcd.endpoints
	DryRun  bool
	Gone    bool
	Yes     bool
	Timeout time.Duration
}

func newArbiterMove(env *Env, run func(context.Context, *Env, *moveOptions) error) *cobra.Command {
	o := &moveOptions{Texts: map[string]*string{}}
	cmd := needServer(&cobra.Command{
		Use:   "move witness|etcd|command|none",
		Short: "Replace the arbiter of a pair that serves",
		Long: `Replace the arbiter of a pair while it serves. It is called once, on either server, with
-M of that server; PostgreSQL and its clients go on.

Both servers are asked first whether they reach the new arbiter. Then the primary goes
alone, the record that the old arbiter keeps is closed, so that it grants nothing any
more, pair.toml is rewritten on both servers (the table [arbiter], no other byte), both
supervisors begin anew, and the standby is attached again. In between, about two
seconds, a dead primary is not replaced.

The flags are the keys of pair.toml. Files are named as there: the same on both servers,
relative to the management directory.

Cut off before the record is closed, nothing has changed. Cut off later, the supervisors
go on by themselves. In either case the same command, called again, goes on. It does
nothing if everything is as asked.

An arbiter that cannot be told that it is left may still let the standby take over by
itself one day. If it is gone for good, say so with --old-is-gone --yes: that is your
word that it never answers again.`,
		Example: `  mcctl arbiter move -M /etc/mcctl/orders witness --address 192.0.2.3:27541
  mcctl arbiter move -M /etc/mcctl/orders etcd --endpoints https://192.0.2.21:2379,https://192.0.2.22:2379 --ca tls/etcd-ca.crt
  mcctl arbiter move -M /etc/mcctl/orders none --dry-run
  mcctl arbiter move -M /etc/mcctl/orders witness --address 192.0.2.4:27541 --old-is-gone --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Kind = args[0]
			if err := o.check(cmd); err != nil {
				return err
			}
			return run(cmd.Context(), env, o)
		},
	}, env, &o.Mcdir)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || !slices.Contains([]string{"witness", "etcd", "command", "none"}, args[0]) {
			return misuse(cmd, "arbiter move: name the kind of the new arbiter: witness, etcd, command or none")
		}
		return nil
	}
	outputFlag(cmd, &o.Output, formText, formJSON)
	f := cmd.Flags()
	for _, a := range arbiterFlags() {
		o.Texts[a.key] = f.String(a.name, "", a.usage())
	}
	f.StringSliceVar(&o.Members, endpointsFlag.name, nil, endpointsFlag.usage())
	f.BoolVar(&o.DryRun, "dry-run", false, "only look whether it can be done")
	f.BoolVar(&o.Gone, "old-is-gone", false, "do not ask the old arbiter, which never answers again")
	f.BoolVar(&o.Yes, "yes", false, "do it, with --old-is-gone")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Minute, "how long to follow it; it goes on afterwards")
	return cmd
}

// check refuses flags of another kind of arbiter, and the lack of what a kind needs.
func (o *moveOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if err := fitKind(cmd, "arbiter move", o.Kind, append(arbiterFlags(), endpointsFlag)); err != nil {
		return err
	}
	switch {
	case o.Kind == "witness" && !given("address"):
		return misuse(cmd, "arbiter move: a witness needs --address host:port")
	case o.Kind == "etcd" && !given("endpoints"):
		return misuse(cmd, "arbiter move: etcd needs --endpoints")
	case o.Yes && !o.Gone:
		return misuse(cmd, "arbiter move: --yes belongs to --old-is-gone")
	}
	return nil
}

// keys are those of pair.toml, as TOML writes their values.
func (o *moveOptions) keys() map[string]string {
	texts := map[string]string{}
	for key, value := range o.Texts {
		texts[key] = *value
	}
	return config.ArbiterKeys(o.Kind, texts, o.Members)
}

func runArbiterMove(ctx context.Context, env *Env, o *moveOptions) error {
	if err := o.soundHere(); err != nil {
		return err
	}
	m := &moveFollower{env: env, o: o, began: time.Now(), c: control{o.Mcdir}}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	q := wire.MoveRequest{Step: wire.MoveCheck, Arbiter: o.keys(), Gone: o.Gone}
	if err := m.ask(ctx, q); errors.Is(err, wire.ErrNoAnswer) {
		return failed(exitFailed, err, "it was only asked about: nothing was changed; see mcctl status -M %s", o.Mcdir)
	} else if err != nil {
		return err
	}
	if m.answer.Done && o.wantsDelay() {
		return failed(exitRefused, fmt.Errorf("arbiter move: the arbiter is %s already, and its fencing_delay is not changed by a move", m.answer.To),
			"edit fencing_delay in pair.toml on both servers; mcctl config diff -M %s says what that takes", o.Mcdir)
	}
	switch {
	case o.DryRun:
		return m.wouldMove()
	case o.Gone && !o.Yes && !m.answer.Done:
		return failed(exitRefused, fmt.Errorf("arbiter move: not done without --yes: if %s ever answers again, both servers may become primary, and commits are lost", m.answer.From),
			"make sure that it never does, then repeat with --yes")
	}
	return m.move(ctx, q)
}

// wantsDelay: another fencing_delay is asked for than the one in force.
func (o *moveOptions) wantsDelay() bool {
	now, err := config.Load(o.Mcdir)
	wanted, given := o.Texts["fencing_delay"]
	if err != nil || !given || *wanted == "" {
		return false
	}
	delay, err := time.ParseDuration(*wanted)
	return err == nil && delay != now.Pair.Arbiter.FencingDelay.Duration
}

// soundHere reads what the files of this server would be: a wrong value is told with its
// line, and nobody is asked.
func (o *moveOptions) soundHere() error {
	var texts [2]string
	for i, name := range []string{config.PairFile, config.ServerFile} {
		b, err := os.ReadFile(filepath.Join(o.Mcdir, name))
		if errors.Is(err, os.ErrNotExist) && i == 0 {
			return failed(exitUsage, fmt.Errorf("arbiter move: %s holds no %s", o.Mcdir, name), "give -M of one of the two servers, not of the arbiter")
		}
		if err != nil {
			return failed(exitUsage, fmt.Errorf("read configuration: %w", err), "run mcctl as the user who owns it")
		}
		texts[i] = string(b)
	}
	if _, _, err := config.ReplaceArbiter(o.Mcdir, texts[0], texts[1], o.keys()); err != nil {
		return failed(exitUsage, fmt.Errorf("%s with this arbiter would be wrong:\n%w", config.PairFile, err), "mend the lines above, or the flags; nothing was changed")
	}
	return nil
}
