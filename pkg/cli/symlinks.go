package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// symlinksOptions are those of mcctl symlinks.
type symlinksOptions struct{ Dir string }

func newSymlinks(env *Env, run func(context.Context, *Env, *symlinksOptions) error) *cobra.Command {
	return &cobra.Command{
		Use:   "symlinks DIR",
		Short: "Make this program known as mc_ctl and mc_arb",
		Long: `Make the symbolic links mc_ctl and mc_arb in DIR. Called by these names, mcctl has
the options, the status table and the messages of Mirroring Controller, so that
runbooks and monitors go on working. A file that is there already and is something
else is left alone.`,
		Example: `  mcctl symlinks /usr/local/bin`,
		Args:    oneArg("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), env, &symlinksOptions{args[0]})
		},
	}
}

func runSymlinks(_ context.Context, env *Env, o *symlinksOptions) error {
	program, err := env.Executable()
	if err != nil {
		return fmt.Errorf("symlinks: find this program: %w", err)
	}
	for _, name := range []string{mcctlName, mcarbName} {
		path := filepath.Join(o.Dir, name)
		switch now, err := os.Readlink(path); {
		case err == nil && now == program:
		case errors.Is(err, fs.ErrNotExist):
			if err := os.Symlink(program, path); err != nil {
				return failed(exitFailed, fmt.Errorf("symlinks: %w", err), "name a directory that is there and that you may write to")
			}
		default:
			return failed(exitRefused, fmt.Errorf("symlinks: %s is there already and is not a link to %s", path, program), "move it away, or choose another directory")
		}
		_, _ = fmt.Fprintf(env.Stdout, "%s -> %s\n", path, program)
	}
	return nil
}
