package cli

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
)

// A new command cannot forget whose directory it needs: each is called with the other's,
// on which it would otherwise begin to work.
func TestEveryCommandRefusesTheOthersDirectory(t *testing.T) {
	server, arbiter := newMcdir(t), newMcdir(t)
	writeConfig(t, server)
	write(t, filepath.Join(arbiter, config.ArbiterFile), "")
	everyCommand(func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "mcctl ")
		dir, text := arbiter, " is the directory of an arbiter, not of a server"
		args := strings.Fields(name)
		switch name {
		case "init", "config check", "config show": // for both
			return
		case "arbiter start", "arbiter stop", "arbiter status", "arbitrate", "watch-arbiter":
			dir, text = server, " is the directory of server1, not of an arbiter"
		case "arbiter move":
			args = append(args, "none")
		}
		if cmd.Flags().Lookup("mcdir") == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		mcctl(ctx, append(args, "-M", dir)...).wants(t, exitUsage, "mcctl: "+name+": "+dir+text)
	})
}

// Files that are being mended, or a directory that was given both, keep nobody from a stop.
func TestWhatIsNobodysOrBothsIsLetThrough(t *testing.T) {
	dir := newMcdir(t)
	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitNotRunning, "no arbiter is running here")
	mcctl(t.Context(), "stop", "-M", dir).wants(t, exitNotRunning, "no supervisor is running here")
	write(t, filepath.Join(dir, config.PairFile), "nonsense")
	mcctl(t.Context(), "stop", "-M", dir).wants(t, exitNotRunning, "no supervisor is running here")
	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitUsage, "is the directory of a server, not of an arbiter")
	write(t, filepath.Join(dir, config.ArbiterFile), "nonsense")
	mcctl(t.Context(), "arbiter", "stop", "-M", dir).wants(t, exitNotRunning, "no arbiter is running here")
	mcctl(t.Context(), "stop", "-M", dir).wants(t, exitNotRunning, "no supervisor is running here")
}
