package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
)

// Where things are below a management directory.
func socketOf(mcdir string) string { return filepath.Join(mcdir, "run", "control.sock") }
func recordOf(mcdir string) string { return filepath.Join(mcdir, "record.json") }
func eventsOf(mcdir string) string { return filepath.Join(mcdir, "log", "events.jsonl") }
func logOf(mcdir string) string    { return filepath.Join(mcdir, "log", "mcctl.log") }

// needMcdir gives a command the flag -M. By the time the command runs, *dir is
// the absolute path of a directory that exists.
func needMcdir(cmd *cobra.Command, env *Env, dir *string) *cobra.Command {
	cmd.Flags().StringVarP(dir, "mcdir", "M", "", "management `directory` (default: $MCCONTROLDIR)")
	cmd.PreRunE = func(*cobra.Command, []string) (err error) {
		*dir, err = findMcdir(env, *dir)
		return err
	}
	return cmd
}

func findMcdir(env *Env, dir string) (string, error) {
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
	switch info, err := os.Stat(dir); {
	case errors.Is(err, os.ErrNotExist):
		return "", failed(exitUsage, fmt.Errorf("find management directory: %s does not exist", dir), "check -M or MCCONTROLDIR")
	case err != nil:
		return "", failed(exitUsage, fmt.Errorf("find management directory: %w", err), "run mcctl as the user who owns it")
	case !info.IsDir():
		return "", failed(exitUsage, fmt.Errorf("find management directory: %s is a file", dir), "name the directory that holds %s", config.PairFile)
	}
	return dir, nil
}

// loadConfig reads a server's configuration. Only commands that cannot do without
// call it: status and stop must work while the files are being edited.
func loadConfig(mcdir string) (*config.Config, error) {
	c, err := config.Load(mcdir)
	if err != nil {
		return nil, failed(exitUsage, fmt.Errorf("read configuration:\n%w", err), "mend the lines above, then try again")
	}
	return c, nil
}

// instanceOf is the server's PostgreSQL, for commands that must look for
// themselves because no supervisor answers.
func instanceOf(c *config.Config) *postgres.Instance {
	s := c.Server
	return &postgres.Instance{
		Data: s.DataDirectory, Bin: s.BinDirectory, ConfigFile: s.ConfigFile, LogFile: s.LogFile,
		Socket: s.Postgres.SocketDirectory, Port: s.Postgres.Port, User: s.Postgres.User,
		Database: s.Postgres.Database, Passfile: s.Postgres.Passfile,
	}
}
