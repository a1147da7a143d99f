package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mcctl/pkg/wire"
)

// failoverOptions are those of enable-failover and disable-failover.
type failoverOptions struct {
	Mcdir string
	On    bool
}

func newEnableFailover(env *Env, run func(context.Context, *Env, *failoverOptions) error) *cobra.Command {
	o := &failoverOptions{On: true}
	return needServer(&cobra.Command{
		Use:     "enable-failover",
		Short:   "Enable automatic switch and detach on both servers",
		Example: `  mcctl enable-failover -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
}

func newDisableFailover(env *Env, run func(context.Context, *Env, *failoverOptions) error) *cobra.Command {
	o := &failoverOptions{}
	return needServer(&cobra.Command{
		Use:   "disable-failover",
		Short: "Disable automatic switch and detach on both servers",
		Long: `Disable automatic switch and detach on both servers. After a fault of the standby,
commits on the primary then wait until it is back, or until mcctl detach.
Commands go on working.`,
		Example: `  mcctl disable-failover -M /etc/mcctl/orders`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, o) },
	}, env, &o.Mcdir)
}

// runFailover fails when only this server knows: a script must not go on as if
// both did. Disabled on one server is as good as disabled on both; enabled is not.
func runFailover(ctx context.Context, env *Env, o *failoverOptions) error {
	var answer wire.FailoverAnswer
	if err := (control{o.Mcdir}).ask(ctx, wire.KindFailover, wire.FailoverRequest{On: o.On}, &answer); err != nil {
		return err
	}
	word, command := yes(o.On, "enabled", "disabled"), yes(o.On, "enable-failover", "disable-failover")
	if !answer.Both {
		return failed(exitFailed, fmt.Errorf("%s: %s on this server only: the other one was not told: %s", command, word, answer.Other),
			"run mcctl %s there as well", command)
	}
	_, err := fmt.Fprintf(env.Stdout, "automatic switch and detach are %s on both servers\n", word)
	return err
}
