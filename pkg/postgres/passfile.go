package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgpassfile"
)

// PassfileLine is a line of a libpq password file, for any database ("The Password File"
// in the PostgreSQL manual).
func PassfileLine(host string, port int, user, password string) string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace
	return fmt.Sprintf("%s:%d:*:%s:%s", escape(host), port, escape(user), escape(password))
}

// replicationDatabase is what a connection that streams or copies calls its database, which
// counts for the passfile alone (libpqwalreceiver.c, streamutil.c, 13 to 18).
const replicationDatabase = "replication"

// Password is what the source's passfile has for a connection that streams or copies.
func (s Source) Password() (string, error) {
	file, err := pgpassfile.ReadPassfile(s.Passfile)
	if err != nil {
		return "", fmt.Errorf("read the password for replication: %w", err)
	}
	password := file.FindPassword(s.Host, strconv.Itoa(s.Port), replicationDatabase, s.User)
	if password == "" {
		return "", fmt.Errorf("%s has no password for %s at %s, port %d; write it there: %s",
			s.Passfile, s.User, s.Host, s.Port, PassfileLine(s.Host, s.Port, s.User, "PASSWORD"))
	}
	return password, nil
}
