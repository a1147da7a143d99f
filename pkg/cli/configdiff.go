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
	"mcctl/pkg/pair"
	"mcctl/pkg/pgconf"
	"mcctl/pkg/wire"
)

func newConfigDiff(env *Env, run func(context.Context, *Env, *configOptions) error) *cobra.Command {
	o := &configOptions{}
	cmd := needServer(&cobra.Command{
		Use:   "diff",
		Short: "Compare pair.toml with the other server's, and PostgreSQL's files with what is wanted",
		Long: `Compare this server's pair.toml with the other server's, key by key with the value in
force, and the lines of PostgreSQL's files that mcctl manages with what they should
be by the record as this server knows it. The exit status is 1 when anything
differs or the other server cannot be asked.`,
		Example: `  mcctl config diff -M /etc/mcctl/orders
  mcctl config diff -M /etc/mcctl/orders -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

// configDiff is what mcctl config diff finds.
type configDiff struct {
	Server pair.Server `json:"server"`
	Other  pair.Server `json:"other"`
	// Managed are PostgreSQL's files whose managed lines are not what is wanted.
	Managed []fileDiff `json:"managed"`
	// Keys are those of pair.toml that differ; null where the other server cannot be asked.
	Keys []keyDiff `json:"keys"`
}

type fileDiff struct {
	File string `json:"file"`
	Diff string `json:"diff"` // unified
}

// keyDiff is a key of pair.toml; nil where a server has no such key.
type keyDiff struct {
	Key   string     `json:"key"`
	Here  *keyOrigin `json:"here"`
	There *keyOrigin `json:"there"`
}

type keyOrigin struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (o *keyOrigin) String() string {
	if o == nil {
		return "-"
	}
	return o.Value + " (" + o.Source + ")"
}

func runConfigDiff(ctx context.Context, env *Env, o *configOptions) error {
	if err := notAsRoot("config diff", env, o.Mcdir); err != nil {
		return err
	}
	c, err := loadConfig(o.Mcdir)
	if err != nil {
		return err
	}
	d := configDiff{Server: c.Me(), Other: c.Other()}
	if d.Managed, err = managedDiff(ctx, c); err != nil {
		return err
	}
	var unasked error
	d.Keys, unasked = pairDiff(ctx, c)
	if o.Output == formJSON {
		err = writeJSON(env.Stdout, d)
	} else {
		err = d.write(env.Stdout)
	}
	switch {
	case err != nil:
		return err
	case unasked != nil:
		return failed(exitFailed, fmt.Errorf("compare %s: %w", config.PairFile, unasked), "see mcctl status -M %s; the supervisor of %s must be running", o.Mcdir, c.Other())
	case len(d.Managed)+len(d.Keys) > 0:
		return quietly(exitFailed)
	}
	return nil
}

// write is the text form.
func (d configDiff) write(w io.Writer) error {
	said := "PostgreSQL's files say what is wanted\n"
	if len(d.Managed) > 0 {
		said = "managed lines of PostgreSQL's files differ from what is wanted (mcctl start puts them right):\n"
	}
	for _, f := range d.Managed {
		said += f.Diff
	}
	if d.Keys != nil && len(d.Keys) == 0 {
		said += config.PairFile + " says the same on both servers\n"
	}
	if _, err := io.WriteString(w, said); err != nil || len(d.Keys) == 0 {
		return err
	}
	t := newTable(w)
	t.row("KEY OF "+config.PairFile, string(d.Server), string(d.Other))
	for _, k := range d.Keys {
		t.row(k.Key, k.Here.String(), k.There.String())
	}
	return t.Flush()
}

// managedDiff is what the managed lines would have to be; none while nobody knows the roles.
func managedDiff(ctx context.Context, c *config.Config) ([]fileDiff, error) {
	files := []fileDiff{}
	own, err := arbiter.OpenCopy(durable.Machine, c.Path("record.json"))
	if err != nil || !own.Get().Exists() {
		return files, err
	}
	major, err := instanceOf(c).Version(ctx)
	if err != nil {
		return nil, err
	}
	h := &act.Hands{Config: c, Board: board.NewBoard(), Major: major}
	t, err := conffiles.Read(h.Roots())
	if err != nil {
		return nil, err
	}
	h.Wanted(board.Sight{Copy: own.Get(), Record: own.Get()}).Write(t)
	for _, e := range t.Edits() {
		files = append(files, fileDiff{e.File, pgconf.Diff(e.File, e.Old, e.New)})
	}
	return files, nil
}

// pairDiff asks the other server's supervisor, with this server's certificate.
func pairDiff(ctx context.Context, c *config.Config) ([]keyDiff, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	paths := c.TLS()
	tls, err := wire.LoadTLS(paths.CA, paths.Certificate, paths.Key)
	if err != nil {
		return nil, err
	}
	conn, err := wire.Dial(ctx, "tcp", c.Endpoint(c.Other()).Admin, tls.Client(string(c.Other())))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	var answer wire.PairFileAnswer
	if err := conn.Call(ctx, wire.KindPairFile, nil, &answer); err != nil {
		return nil, err
	}
	theirs, err := config.PairValues(answer.Text)
	if err != nil {
		return nil, fmt.Errorf("the file of %s is not sound: %w", c.Other(), err)
	}
	text, err := os.ReadFile(c.Path(config.PairFile))
	if err != nil {
		return nil, err
	}
	ours, err := config.PairValues(string(text))
	if err != nil {
		return nil, err
	}
	return comparePairs(ours, theirs), nil
}

// comparePairs lists the keys of this server's file first, then those that only the other
// one has.
func comparePairs(ours, theirs []config.Value) []keyDiff {
	here, there := origins(ours), origins(theirs)
	differ := []keyDiff{}
	for _, v := range ours {
		if other := there[v.Key]; other == nil || other.Value != v.Value {
			differ = append(differ, keyDiff{v.Key, here[v.Key], other})
		}
	}
	for _, v := range theirs {
		if here[v.Key] == nil {
			differ = append(differ, keyDiff{v.Key, nil, there[v.Key]})
		}
	}
	return differ
}

func origins(values []config.Value) map[string]*keyOrigin {
	of := map[string]*keyOrigin{}
	for _, v := range values {
		of[v.Key] = &keyOrigin{v.Value, v.Source}
	}
	return of
}
