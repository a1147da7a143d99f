package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mcctl/pkg/config"
)

// checkFiles refuses a start that could not end well because a file that server.toml
// names is not there. Without its password a standby would wait for ever, and why
// would stand in PostgreSQL's log only.
func checkFiles(c *config.Config) error {
	s := c.Server
	var missing []error
	for _, f := range []struct{ key, path, mend string }{
		{"postgres.passfile", s.Postgres.Passfile, "write it, mode 0600, a line host:port:database:user:password; or leave the key out"},
		{"replication.passfile", s.Replication.Passfile, "write it, mode 0600, a line host:port:database:user:password; or leave the key out"},
		{"tls.ca", s.TLS.CA, "copy the authority's certificate there"},
		{"tls.certificate", s.TLS.Certificate, "copy this server's certificate there"},
		{"tls.key", s.TLS.Key, "copy this server's key there, mode 0600"},
	} {
		if _, err := os.Stat(f.path); f.path != "" && errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, fmt.Errorf("%s: %s: %s does not exist; %s", c.Path(config.ServerFile), f.key, f.path, f.mend))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return failed(exitUsage, fmt.Errorf("read configuration:\n%w", errors.Join(missing...)), "mend the lines above, then try again")
}
