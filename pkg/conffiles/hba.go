package conffiles

import (
	"fmt"

	"mcctl/pkg/pgconf"
)

// ReadHBA reads a pg_hba.conf with all that it includes.
func ReadHBA(file string, major int) ([]pgconf.HBALine, error) {
	lines, err := pgconf.ReadHBA(disk{}, file, major)
	if err != nil {
		return nil, fmt.Errorf("read client authentication: %w", err)
	}
	return lines, nil
}
