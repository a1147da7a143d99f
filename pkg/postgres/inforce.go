package postgres

import (
	"context"
	"fmt"
)

// InForce is a setting as the server goes by it (pg_settings, 13 to 18).
type InForce struct {
	Name, Value string
	// Source is "configuration file", "command line", "default", … The command line
	// wins over every file, and no reload changes that.
	Source string
	// File and Line say where it comes from; empty unless it is from a file.
	File string
	Line int
	// PendingRestart: the files say something else, which waits for a restart.
	PendingRestart bool
}

// Place is the source for people: file:line, or its name.
func (f InForce) Place() string {
	if f.File == "" {
		return "the " + f.Source
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// Fixed tells that no edit of a file can change the setting while this postmaster
// lives: the command line or the environment has set it.
func (f InForce) Fixed() bool {
	return f.Source == "command line" || f.Source == "environment variable"
}

// InForce asks for the named settings, and for all that wait for a restart. A session
// has the postmaster's settings as of its last reload: asked of a session that is
// older than the reload the answer may lag by a moment.
func (s *Session) InForce(ctx context.Context, names []string) (all []InForce, err error) {
	rows, err := s.conn.Query(ctx, `
select name, setting, source, coalesce(sourcefile, ''), coalesce(sourceline, 0), pending_restart
from pg_settings where name = any($1) or pending_restart order by name`, names)
	if err != nil {
		return nil, fmt.Errorf("ask what settings are in force: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f InForce
		if err := rows.Scan(&f.Name, &f.Value, &f.Source, &f.File, &f.Line, &f.PendingRestart); err != nil {
			return nil, fmt.Errorf("ask what settings are in force: %w", err)
		}
		all = append(all, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask what settings are in force: %w", err)
	}
	return all, nil
}

// FileFault is a line of the configuration files that the server cannot apply.
type FileFault struct {
	File string // empty for a line that was taken away, which waits for a restart
	Line int
	Name string // empty for a line that cannot be read
	Text string // in the server's words
	// Restart: nothing may be wrong with the line, but a reload cannot apply it.
	Restart bool
}

// String is file:line: text.
func (f FileFault) String() string {
	if f.File == "" {
		return f.Text + ", but its line was taken away"
	}
	if f.Restart {
		return fmt.Sprintf("%s:%d: %s waits for a restart of PostgreSQL, or is invalid", f.File, f.Line, f.Name)
	}
	if f.Name != "" {
		return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Name, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// FileFaults reads the configuration files with the server's own eyes
// (pg_file_settings, 13 to 18), as they are now. Refused means that a reload would
// apply nothing at all: a line cannot be read, names an unknown parameter or includes
// a file that is missing (ProcessConfigFileInternal in guc.c). A value that is
// invalid only keeps its own line from being applied.
func (s *Session) FileFaults(ctx context.Context) (refused bool, faults []FileFault, err error) {
	rows, err := s.conn.Query(ctx, `
select coalesce(f.sourcefile, ''), coalesce(f.sourceline, 0), coalesce(f.name, ''), coalesce(f.error, ''),
  coalesce(s.context = 'postmaster', false)
from pg_file_settings f left join pg_settings s on s.name = lower(f.name)
where f.error is not null or f.applied order by f.seqno`)
	if err != nil {
		return false, nil, fmt.Errorf("ask how the configuration files read: %w", err)
	}
	defer rows.Close()
	applied := false
	for rows.Next() {
		var f FileFault
		if err := rows.Scan(&f.File, &f.Line, &f.Name, &f.Text, &f.Restart); err != nil {
			return false, nil, fmt.Errorf("ask how the configuration files read: %w", err)
		}
		f.Restart = f.Restart || f.File == ""
		if f.Text == "" {
			applied = true
		} else {
			faults = append(faults, f)
		}
	}
	if err := rows.Err(); err != nil {
		return false, nil, fmt.Errorf("ask how the configuration files read: %w", err)
	}
	return !applied && len(faults) > 0, faults, nil
}
