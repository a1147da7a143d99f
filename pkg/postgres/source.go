package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Source is another server to copy or rewind from, or to stream from.
type Source struct {
	Host            string // name, address or socket directory
	Port            int
	User            string
	Database        string // pg_rewind and the checks need one; streaming does not
	Passfile        string
	ApplicationName string
	Options         string // further libpq keywords as they stand, e.g. "sslmode=verify-full connect_timeout=3"
}

// Conninfo is a libpq connection string ("Connection Strings" in the PostgreSQL
// manual), fit for primary_conninfo and --source-server. It holds no password:
// that belongs into Passfile.
func (s Source) Conninfo() string {
	port := ""
	if s.Port != 0 {
		port = strconv.Itoa(s.Port)
	}
	text := conninfo("host", s.Host, "port", port, "user", s.User, "dbname", s.Database,
		"passfile", s.Passfile, "application_name", s.ApplicationName)
	return strings.TrimSpace(text + " " + s.Options)
}

// conninfo joins keyword/value pairs; empty values are left out.
func conninfo(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pairs[i] + "=" + quoteValue(pairs[i+1]))
	}
	return b.String()
}

func quoteValue(v string) string {
	if !strings.ContainsAny(v, ` '\`+"\t\n\v\f\r") {
		return v
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// config has of the keywords that the server is told what libpq tells it: pgx takes each
// that it does not know (keepalives, ssl_min_protocol_version) for a setting of the session.
// Of the passfile it has what libpq reads there: pgx's own reader knows fewer escapes.
func (s Source) config() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(s.Conninfo())
	if err != nil {
		return nil, err
	}
	if text, err := os.ReadFile(s.Passfile); err == nil {
		config.Password = findPassword(string(text), config.Host, strconv.Itoa(int(config.Port)), cmp.Or(config.Database, config.User), config.User)
	}
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool { return name != "application_name" && name != "options" })
	return config, nil
}

// dial opens a plain connection to the source for the checks before a copy.
func (s Source) dial(ctx context.Context) (*pgx.Conn, error) {
	config, err := s.config()
	if err != nil {
		return nil, fmt.Errorf("connect to source: %w", err)
	}
	config.DialFunc = dialNoticing
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to source: %w", err)
	}
	return conn, nil
}
