package cli

import (
	"context"

	"github.com/spf13/cobra"

	"mcctl/pkg/lab"
)

func newLab(env *Env) *cobra.Command {
	return group("lab", "A complete pair on this machine, to learn and to try things on",
		newLabUp(env, runLabUp), newLabDown(env, runLabDown), newLabStatus(env, runLabStatus),
		newLabEnv(env, runLabEnv), newLabPids(env, runLabPids))
}

// labOptions are those of the commands that look at a lab.
type labOptions struct {
	Dir    string
	Output string
}

// openLab finds the lab or says how to make it.
func openLab(dir string) (*lab.Lab, error) {
	l, err := lab.Open(dir)
	if err != nil {
		return nil, failed(exitFailed, err, "see mcctl lab up --help")
	}
	return l, nil
}

// labCommand is a command about the lab in the directory that is its only argument.
func labCommand(cmd *cobra.Command, dir *string, run func(context.Context) error) *cobra.Command {
	cmd.Use += " DIR"
	cmd.Args = oneArg("lab's directory")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		*dir = args[0]
		return run(cmd.Context())
	}
	return cmd
}
