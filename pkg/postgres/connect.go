package postgres

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mcctl/pkg/majors"
)

// Session is a warm connection to the local server. It is not for use from
// several goroutines at once. When a call's ctx ends the connection is closed
// underway, and every later call fails: Close it and Connect again.
type Session struct {
	conn *pgx.Conn
	can  majors.Abilities
}

// Connect opens a session over the unix socket.
func (in *Instance) Connect(ctx context.Context) (*Session, error) {
	conn, err := in.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Session{conn: conn, can: majors.Of(majorOf(conn.PgConn()))}, nil
}

// Close ends the session; it waits for the server no longer than a moment.
func (s *Session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	_ = s.conn.Close(ctx) // the connection is gone either way
}

// closeLimit bounds the farewell to a server that may be frozen.
const closeLimit = 200 * time.Millisecond

// Alive tells whether the session can still be used, without asking the server.
func (s *Session) Alive() bool { return !s.conn.IsClosed() }

// Knock makes a fresh connection over the unix socket until the server says that
// it is ready for a query, and leaves without a statement.
func (in *Instance) Knock(ctx context.Context) error {
	config, err := in.connConfig()
	if err != nil {
		return err
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	_ = conn.Close(ctx) // the connection is gone either way
	return nil
}

func (in *Instance) dial(ctx context.Context) (*pgx.Conn, error) {
	config, err := in.connConfig()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return conn, nil
}

func (in *Instance) connConfig() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(conninfo(
		"host", in.Socket, "port", strconv.Itoa(in.Port), "user", in.User,
		"dbname", in.Database, "passfile", in.Passfile, "sslmode", "disable"))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	// Set as a whole, so that nothing of the environment (PGOPTIONS) gets in.
	config.RuntimeParams = maps.Clone(supervisorSettings)
	return config, nil
}

// supervisorSettings keep the supervisor's sessions out of every wait that
// belongs to clients, whatever is set for its role or database: above all its own
// commits must not wait for the standby.
var supervisorSettings = map[string]string{
	"application_name":              "mcctl",
	"synchronous_commit":            "local",
	"default_transaction_read_only": "off",
	"statement_timeout":             "0",
	"lock_timeout":                  "0",
	"search_path":                   "pg_catalog",
	"jit":                           "off",
}

// majorOf takes the major out of the parameter server_version ("15.20 (Debian …)").
func majorOf(conn *pgconn.PgConn) int {
	return parseVersion("(PostgreSQL) " + conn.ParameterStatus("server_version"))
}

// InRecovery tells whether the server is a standby (or still recovering).
func (s *Session) InRecovery(ctx context.Context) (in bool, err error) {
	if err := s.conn.QueryRow(ctx, "select pg_is_in_recovery()").Scan(&in); err != nil {
		return false, fmt.Errorf("ask PostgreSQL whether it is in recovery: %w", err)
	}
	return in, nil
}

// Checkpoint writes a checkpoint and waits for it; when ctx ends the server may
// go on writing. On a new primary it must be done before pg_rewind can tell its
// timeline from the old one's.
func (s *Session) Checkpoint(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "checkpoint"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
