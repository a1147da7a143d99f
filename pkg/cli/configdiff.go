package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mcctl/pkg/act"
	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/conffiles"
	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/wire"
)

func newConfigDiff(env *Env, run func(context.Context, *Env, *configOptions) error) *cobra.Command {
	o := &configOptions{}
	return needServer(&cobra.Command{
		Use:   "diff",
		Short: "Compare pair.toml with the other server's, and PostgreSQL's files with what is wanted",
		Long: `Compare this server's pair.toml with the other server's, key by key with the value in
force, and the lines of PostgreSQL's files that mcctl manages with what they should
be by the record as this server knows it. The exit status is 1 when anything
differs or the other server cannot be asked.`,
		Example: `  mcctl config diff -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
}

func runConfigDiff(ctx context.Context, env *Env, o *configOptions) error {
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	managed, err := managedDiff(ctx, c)
	if err != nil {
		return err
	}
	if managed == "" {
		managed = "PostgreSQL's files say what is wanted\n"
	} else {
		managed = "managed lines of PostgreSQL's files differ from what is wanted (mcctl start puts them right):\n" + managed
	}
	_, _ = io.WriteString(env.Stdout, managed)
	differ, err := pairDiff(ctx, env.Stdout, c)
	if err != nil {
		return failed(exitFailed, fmt.Errorf("compare %s: %w", config.PairFile, err), "see mcctl status -M %s; the supervisor of %s must be running", o.Mcdir, c.Other())
	}
	if differ || managed[0] == 'm' {
		return quietly(exitFailed)
	}
	return nil
}

// managedDiff is what the managed lines would have to be, as a diff.
func managedDiff(ctx context.Context, c *config.Config) (string, error) {
	own, err := arbiter.OpenCopy(durable.Machine, c.Path("record.json"))
	if err != nil {
		return "", err
	}
	if !own.Get().Exists() {
		return "", nil // nobody knows the roles yet
	}
	major, err := instanceOf(c).Version(ctx)
	if err != nil {
		return "", err
	}
	h := &act.Hands{Config: c, Board: board.NewBoard(), Major: major}
	t, err := conffiles.Read(h.Roots())
	if err != nil {
		return "", err
	}
	h.Wanted(board.Sight{Copy: own.Get(), Record: own.Get()}).Write(t)
	return t.Diff(), nil
}

// pairDiff asks the other server's supervisor, with this server's certificate.
func pairDiff(ctx context.Context, w io.Writer, c *config.Config) (differ bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	paths := c.TLS()
	tls, err := wire.LoadTLS(paths.CA, paths.Certificate, paths.Key)
	if err != nil {
		return false, err
	}
	conn, err := wire.Dial(ctx, "tcp", c.Endpoint(c.Other()).Admin, tls.Client(string(c.Other())))
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	var answer wire.PairFileAnswer
	if err := conn.Call(ctx, wire.KindPairFile, nil, &answer); err != nil {
		return false, err
	}
	theirs, err := config.PairValues(answer.Text)
	if err != nil {
		return false, fmt.Errorf("the file of %s is not sound: %w", c.Other(), err)
	}
	text, err := os.ReadFile(c.Path(config.PairFile))
	if err != nil {
		return false, err
	}
	ours, err := config.PairValues(string(text))
	if err != nil {
		return false, err
	}
	return comparePairs(w, c, ours, theirs), nil
}

func comparePairs(w io.Writer, c *config.Config, ours, theirs []config.Value) (differ bool) {
	there := map[string]config.Value{}
	for _, v := range theirs {
		there[v.Key] = v
	}
	t := newTable(w)
	line := func(key, mine, other string) {
		if !differ {
			t.row("KEY OF "+config.PairFile, string(c.Me()), string(c.Other()))
		}
		differ = true
		t.row(key, mine, other)
	}
	for _, v := range ours {
		other, both := there[v.Key]
		delete(there, v.Key)
		if !both {
			line(v.Key, v.Value+" ("+v.Source+")", "-")
		} else if v.Value != other.Value {
			line(v.Key, v.Value+" ("+v.Source+")", other.Value+" ("+other.Source+")")
		}
	}
	for _, v := range theirs {
		if _, only := there[v.Key]; only {
			line(v.Key, "-", v.Value+" ("+v.Source+")")
		}
	}
	_ = t.Flush() // to standard output
	if !differ {
		_, _ = fmt.Fprintf(w, "%s says the same on both servers\n", config.PairFile)
	}
	return differ
}
