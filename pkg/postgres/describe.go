package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Described is a setting as it is in force, with what a change of it takes.
type Described struct {
	Value string
	// Restart: a change waits for a restart of the server (context "postmaster" in
	// pg_settings, 13 to 18); otherwise a reload is enough.
	Restart bool
	// Pending: the files say something else already, which waits for a restart.
	Pending bool
}

// Describe asks for the named settings; what the server does not know is left out.
func (s *Session) Describe(ctx context.Context, names []string) (map[string]Described, error) {
	rows, err := s.conn.Query(ctx, "select name, setting, context = 'postmaster', pending_restart from pg_settings where name = any($1)", names)
	if err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	all := map[string]Described{}
	var name string
	var d Described
	_, err = pgx.ForEachRow(rows, []any{&name, &d.Value, &d.Restart, &d.Pending}, func() error {
		all[name] = d
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	return all, nil
}

// HasRole tells whether there is a role of that name.
func (s *Session) HasRole(ctx context.Context, name string) (has bool, err error) {
	if err := s.conn.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", name).Scan(&has); err != nil {
		return false, fmt.Errorf("look for role %s: %w", name, err)
	}
	return has, nil
}

// EnsureReplicationRole makes the role, or gives it the password, with what streaming,
// pg_basebackup and pg_rewind need of it (pg_rewind's page in the manual lists the
// functions, 11 to 18). The server gets no more than it keeps, a SCRAM verifier: statements
// are kept by pg_stat_statements as well, and by a log that takes samples of transactions.
func (s *Session) EnsureReplicationRole(ctx context.Context, name, password string) error {
	has, err := s.HasRole(ctx, name)
	if err != nil {
		return err
	}
	verb := "CREATE"
	if has {
		verb = "ALTER"
	}
	secret, err := scramVerifier(password)
	if err != nil {
		return fmt.Errorf("make role %s: %w", name, err)
	}
	role := pgx.Identifier{name}.Sanitize()
	statements := []string{
		"SET LOCAL log_statement = 'none'",
		"SET LOCAL log_min_duration_statement = -1",
		"SET LOCAL log_min_error_statement = 'panic'",
		verb + " ROLE " + role + " LOGIN REPLICATION PASSWORD '" + secret + "'",
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO " + role,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO " + role,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO " + role,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO " + role,
	}
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make role %s: %w", name, err)
	}
	return nil
}

// HBAFaults lists what the server cannot read in its pg_hba.conf as it is now
// (pg_hba_file_rules, 13 to 18), in its own words. One fault anywhere, or no rule at
// all, and a reload keeps the old rules (load_hba in hba.c, 13 to 18). Of a line that an
// included file holds the name of that file is known since there are such.
func (s *Session) HBAFaults(ctx context.Context) (faults []FileFault, err error) {
	file := "current_setting('hba_file')"
	if s.can.HBAIncludes {
		file = "coalesce(file_name, current_setting('hba_file'))"
	}
	rows, err := s.conn.Query(ctx, "select "+file+", coalesce(line_number, 0), coalesce(error, '') from pg_hba_file_rules")
	if err != nil {
		return nil, fmt.Errorf("ask how pg_hba.conf reads: %w", err)
	}
	some := false
	var f FileFault
	_, err = pgx.ForEachRow(rows, []any{&f.File, &f.Line, &f.Text}, func() error {
		if some = true; f.Text != "" {
			faults = append(faults, f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask how pg_hba.conf reads: %w", err)
	}
	if !some {
		err := s.conn.QueryRow(ctx, "select current_setting('hba_file')").Scan(&f.File)
		return []FileFault{{File: f.File, Line: 1, Text: "it has no rule"}}, err
	}
	return faults, nil
}
