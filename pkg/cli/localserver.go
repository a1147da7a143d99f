package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// localServer gives a command of a server the flag --local-server. A management
// directory of ours belongs to one server, so there is nothing to choose: the flag
// is a check that the command speaks to the server that was meant.
func localServer(cmd *cobra.Command) *cobra.Command {
	name := cmd.Flags().String("local-server", "", "`name` of the server that -M must belong to")
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := before(cmd, args); err != nil || *name == "" {
			return err
		}
		dir := cmd.Flags().Lookup("mcdir").Value.String() // absolute by now
		c, err := loadConfig(dir)
		if err != nil {
			return err
		}
		if string(c.Me()) != *name {
			return failed(exitUsage, fmt.Errorf("%s: management directory %s belongs to %s, not to %s", cmd.Name(), dir, c.Me(), *name),
				"give -M the directory of %s", *name)
		}
		return nil
	}
	return cmd
}
