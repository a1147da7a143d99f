package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
)

// whose is a kind of management directory. Both kinds have their socket, watch and log at
// the same places: a command for the one would find in the other what it looks for, and end
// the wrong process. So each says which it needs; needMcdir is for those that serve both.
type whose struct {
	name, file string
	is         func(dir string) bool
}

func aServers() whose   { return whose{"a server", config.ServerFile, config.IsServer} }
func anArbiters() whose { return whose{"an arbiter", config.ArbiterFile, config.IsArbiter} }

// needServer is needMcdir for a server's directory.
func needServer(cmd *cobra.Command, env *Env, dir *string) *cobra.Command {
	return needWhose(cmd, env, dir, aServers(), anArbiters())
}

// needArbiter is needMcdir for an arbiter's directory.
func needArbiter(cmd *cobra.Command, env *Env, dir *string) *cobra.Command {
	return needWhose(cmd, env, dir, anArbiters(), aServers())
}

// needWhose refuses the other's directory. One that is neither's is let through: what runs
// there can be stopped without its files.
func needWhose(cmd *cobra.Command, env *Env, dir *string, wanted, other whose) *cobra.Command {
	needMcdir(cmd, env, dir)
	find := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := find(cmd, args); err != nil || wanted.is(*dir) || !other.is(*dir) {
			return err
		}
		owner := other.name
		if c, err := config.Load(*dir); err == nil {
			owner = string(c.Me())
		}
		name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
		return failed(exitUsage, fmt.Errorf("%s: %s is the directory of %s, not of %s", name, *dir, owner, wanted.name),
			"check -M or MCCONTROLDIR: %s's directory has %s", wanted.name, wanted.file)
	}
	return cmd
}
