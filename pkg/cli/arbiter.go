package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mcctl/pkg/config"
)

func newArbiter(env *Env) *cobra.Command {
	return group("arbiter", "The arbiter on a third host, which keeps the records of many pairs; and another one for a pair",
		newArbiterStart(env, runArbiterStart), newArbiterStop(env, runArbiterStop), newArbiterStatus(env, runArbiterStatus),
		newArbiterMove(env, runArbiterMove))
}

func loadArbiter(mcdir string) (*config.Arbiter, error) {
	a, err := config.LoadArbiter(mcdir)
	if err != nil {
		return nil, failed(exitUsage, fmt.Errorf("read configuration:\n%w", err), "mend the lines above, then try again")
	}
	return a, nil
}

// ownsArbiter refuses root where the arbiter is somebody else's, who could not open the
// records and the log that root has made, and says by a link where root writes. Others
// cannot read its key; but that may be root's where the directory is not.
func ownsArbiter(euid int, c *config.Arbiter) error {
	if euid != 0 {
		return nil
	}
	for _, path := range []string{c.TLS.Key, c.Dir, c.Path(config.ArbiterFile)} {
		if owner, err := ownerOf(path); err == nil && owner != 0 {
			return failed(exitRefused, fmt.Errorf("arbiter start: refused as root: %s belongs to %s", path, userName(owner)),
				"run it as that user: runuser -u %s -- mcctl arbiter start -M %s", userName(owner), c.Dir)
		}
	}
	return nil
}

// errNoArbiter tells that no arbiter runs on the management directory.
var errNoArbiter = errors.New("no arbiter is running here")

func noArbiter(verb, mcdir string) error {
	return failed(exitNotRunning, fmt.Errorf("arbiter %s: %w: %s", verb, errNoArbiter, mcdir), "start it: mcctl arbiter start -M %s", mcdir)
}
