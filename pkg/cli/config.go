package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

func newConfig(env *Env) *cobra.Command {
	return group("config", "Show, check and compare the configuration",
		newConfigShow(env, runConfigShow), newConfigCheck(env, runConfigCheck), newConfigDiff(env, runConfigDiff))
}

// configOptions are those of the commands below config.
type configOptions struct {
	Mcdir  string
	Output string
}

func newConfigShow(env *Env, run func(context.Context, *Env, *configOptions) error) *cobra.Command {
	o := &configOptions{}
	cmd := needMcdir(&cobra.Command{
		Use:     "show",
		Short:   "Show every key with its value in force and where it comes from",
		Long:    `Show every key of the management directory, a server's or an arbiter's, with its value and where that comes from: file and line, a profile, or the default.`,
		Example: `  mcctl config show -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runConfigShow(_ context.Context, env *Env, o *configOptions) error {
	values, err := config.Origins(o.Mcdir)
	if err != nil {
		return failed(exitUsage, fmt.Errorf("read configuration:\n%w", err), "mend the lines above, then try again")
	}
	if o.Output == formJSON {
		return writeJSON(env.Stdout, values)
	}
	t := newTable(env.Stdout)
	t.row("KEY", "VALUE", "FROM")
	for _, v := range values {
		t.row(v.Key, v.Value, strings.TrimPrefix(v.Source, o.Mcdir+"/"))
	}
	return t.Flush()
}

func newConfigCheck(env *Env, run func(context.Context, *Env, *configOptions) error) *cobra.Command {
	o := &configOptions{}
	cmd := needMcdir(&cobra.Command{
		Use:   "check",
		Short: "Check the configuration and tell all problems at once",
		Long: `Check the files of a management directory, a server's or an arbiter's, and that the
certificates are sound and of whom they should be. All problems are told at once.
The exit status is 2 where there are any.`,
		Example: `  mcctl config check -M /etc/mcctl/orders
  mcctl config check -M /etc/mcctl/orders -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
	outputFlag(cmd, &o.Output, formText, formJSON)
	return cmd
}

func runConfigCheck(ctx context.Context, env *Env, o *configOptions) error {
	var err error
	if config.IsArbiter(o.Mcdir) { // its check runs nothing
		err = checkArbiter(o.Mcdir)
	} else {
		if err := notAsRoot("config check", env, o.Mcdir); err != nil {
			return err
		}
		err = checkServer(ctx, o.Mcdir)
	}
	if o.Output == formJSON {
		return tellSoundness(env, err)
	}
	if err != nil {
		return failed(exitUsage, fmt.Errorf("the configuration is not sound:\n%w", err), "mend the lines above; nothing that runs was touched")
	}
	_, err = fmt.Fprintln(env.Stdout, "the configuration is sound")
	return err
}

// tellSoundness tells a program what is wrong with the configuration, if anything is.
func tellSoundness(env *Env, wrong error) error {
	problems := append([]config.Problem{}, config.Problems(wrong)...) // [] rather than null
	err := writeJSON(env.Stdout, struct {
		Sound    bool             `json:"sound"`
		Problems []config.Problem `json:"problems"`
	}{wrong == nil, problems})
	if err != nil || wrong == nil {
		return err
	}
	return quietly(exitUsage)
}

func checkArbiter(mcdir string) error {
	a, err := config.LoadArbiter(mcdir)
	if err != nil {
		return err
	}
	tls, err := wire.LoadTLS(a.TLS.CA, a.TLS.Certificate, a.TLS.Key)
	switch {
	case err != nil:
		return err
	case tls.Own.Name != "arbiter":
		return fmt.Errorf("%s: the certificate is %s's, but an arbiter's has the name arbiter", a.TLS.Certificate, tls.Own)
	}
	return tls.OutOfDate
}

func checkServer(ctx context.Context, mcdir string) error {
	c, err := config.Load(mcdir)
	if err != nil {
		return err
	}
	paths, want := c.TLS(), wire.Identity{Pair: c.Pair.Name, Name: string(c.Me())}
	tls, errTLS := wire.LoadTLS(paths.CA, paths.Certificate, paths.Key)
	switch {
	case errTLS != nil:
	case tls.Own != want:
		errTLS = fmt.Errorf("%s: the certificate is %s's, but this server is %s", paths.Certificate, tls.Own, want)
	default:
		errTLS = tls.OutOfDate
	}
	_, errVersion := instanceOf(c).Version(ctx)
	if errVersion != nil {
		errVersion = fmt.Errorf("%s: data_directory, bin_directory: %w", filepath.Join(mcdir, config.ServerFile), errVersion)
	}
	return errors.Join(errTLS, errVersion)
}
