package cli

import "fmt"

// notAsRoot refuses root what runs programs that a server's management directory names, or
// writes there: its owner would say what root runs, and by a link where root writes. No
// server's directory may be root's, as PostgreSQL does not run as root; what it names may be
// another's all the same.
func notAsRoot(command string, env *Env, mcdir string) error {
	if env.Euid() != 0 {
		return nil
	}
	owner, err := ownerOf(mcdir)
	if err != nil {
		return failed(exitRefused, fmt.Errorf("%s: find the owner of the management directory: %w", command, err), "run it as the user who owns %s", mcdir)
	}
	if owner == 0 {
		return failed(exitRefused, fmt.Errorf("%s: refused as root: PostgreSQL does not run as root, but root owns management directory %s", command, mcdir),
			"give it to the right user: chown -R postgres: %s", mcdir)
	}
	return failed(exitRefused, fmt.Errorf("%s: refused as root: management directory %s belongs to %s", command, mcdir, userName(owner)),
		"run it as that user: runuser -u %s -- mcctl %s -M %s", userName(owner), command, mcdir)
}
