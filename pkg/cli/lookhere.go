package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/observe"
)

// lookPatience bounds each connection of a look that the supervisor asks for: together
// they stay below the time that it gives.
const lookPatience = 2 * time.Second

// lookHereOptions are those of the child that looks at this server.
type lookHereOptions struct {
	Mcdir string
}

func newLookHere(env *Env, run func(context.Context, *Env, *lookHereOptions) error) *cobra.Command {
	return &cobra.Command{
		Use: observe.LookCommand + " MCDIR", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Look at this server as mcctl check does (started by the supervisor)",
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), env, &lookHereOptions{Mcdir: args[0]})
		},
	}
}

// runLookHere prints what is seen, for the supervisor.
func runLookHere(ctx context.Context, env *Env, o *lookHereOptions) error {
	if err := notAsRoot(observe.LookCommand, env, o.Mcdir); err != nil {
		return err
	}
	c, err := config.Load(o.Mcdir)
	if err != nil {
		return err
	}
	look := check.Looker{Config: c, Version: env.Version, Root: "/", Now: time.Now, Patience: lookPatience}
	return json.NewEncoder(env.Stdout).Encode(look.Look(ctx))
}
