package setup

import (
	"cmp"
	"fmt"

	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// password is the replication role's, out of the passfile that server.toml names; empty
// where it names none. The role is the pair's: what is written for this server, to which
// the second one comes, and for the other, to which this one goes, must be the same.
func password(c *config.Config) (string, error) {
	if c.Server.Replication.Passfile == "" {
		return "", nil
	}
	here, err := passwordAt(c, c.Me())
	there, errThere := passwordAt(c, c.Other())
	switch {
	case err != nil && errThere != nil:
		return "", err
	case err == nil && errThere == nil && here != there:
		return "", fmt.Errorf("%s has one password of %s for %s and another for %s, but it is one role: write the one that is in force into both lines",
			c.Server.Replication.Passfile, c.Server.Replication.User, c.Endpoint(c.Me()).Replication, c.Endpoint(c.Other()).Replication)
	}
	return cmp.Or(here, there), nil
}

func passwordAt(c *config.Config, server pair.Server) (string, error) {
	host, port := split(c.Endpoint(server).Replication)
	return postgres.Source{Host: host, Port: port, User: c.Server.Replication.User, Passfile: c.Server.Replication.Passfile}.Password()
}
