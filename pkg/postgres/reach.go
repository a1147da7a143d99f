package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Reached is what an ordinary connection to another server tells of it.
type Reached struct {
	SystemID uint64 `json:"system_id"`
	// Lacks are the functions that pg_rewind calls on its source and that this
	// user may not execute (pg_rewind's page in the manual, PostgreSQL 11 to 18).
	Lacks []string `json:"lacks"`
}

// rewindFunctions are the same in 13 to 18.
func rewindFunctions() []string {
	return []string{
		"pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
		"pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)",
	}
}

// Reach connects to the source as pg_rewind would and looks whether it may work
// there. Nothing is changed.
func (s Source) Reach(ctx context.Context) (r Reached, err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return r, err
	}
	defer (&Session{conn: conn}).Close()
	var id string
	err = conn.QueryRow(ctx, `select (select system_identifier::text from pg_control_system()),
  coalesce((select array_agg(f) from unnest($1::text[]) f where not has_function_privilege('pg_catalog.' || f, 'execute')), '{}')`,
		rewindFunctions()).Scan(&id, &r.Lacks)
	if err == nil {
		r.SystemID, err = strconv.ParseUint(id, 10, 64)
	}
	if err != nil {
		return r, fmt.Errorf("look at the source: %w", err)
	}
	return r, nil
}

// Identify makes a replication connection to the source as its standby would, and
// asks who it is (IDENTIFY_SYSTEM, "Streaming Replication Protocol", 13 to 18).
// Nothing is streamed and no slot is used.
func (s Source) Identify(ctx context.Context) (systemID uint64, err error) {
	s.Database = replicationDatabase
	config, err := s.config()
	if err != nil {
		return 0, fmt.Errorf("make a replication connection: %w", err)
	}
	config.RuntimeParams["replication"], config.RuntimeParams["application_name"] = "true", "mcctl_check"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, fmt.Errorf("make a replication connection: %w", err)
	}
	defer (&Session{conn: conn}).Close()
	// A walsender without a database speaks the simple protocol only.
	results, err := conn.PgConn().Exec(ctx, "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		return 0, fmt.Errorf("identify the source: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) == 0 {
		return 0, fmt.Errorf("identify the source: its answer is not PostgreSQL's")
	}
	systemID, err = strconv.ParseUint(string(results[0].Rows[0][0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("identify the source: %w", err)
	}
	return systemID, nil
}
