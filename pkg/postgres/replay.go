package postgres

import (
	"context"
	"fmt"

	"mcctl/pkg/pair"
)

// PauseReplay asks a standby to stop applying WAL; it is still received and flushed. A
// record that is being applied may still finish, but none is applied that is written
// after the call returned: the startup process looks at the request before each record
// (PerformWalRecovery, before 15 StartupXLOG, in PostgreSQL 13 to 18). Its confirmation
// (pg_get_wal_replay_pause_state) is not waited for: while a query on the standby is in
// the way of that record there is none.
func (s *Session) PauseReplay(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "select pg_wal_replay_pause()"); err != nil {
		return fmt.Errorf("pause replay: %w", err)
	}
	return nil
}

// Applied tells what a standby has on its disk and what of that it has applied; both
// are 0 on a server that is none. It looks into no catalogue: a switch waits for it.
func (s *Session) Applied(ctx context.Context) (received, replayed pair.LSN, err error) {
	var texts [2]string
	err = s.conn.QueryRow(ctx, `
select case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn()::text, '') else '' end,
  case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn()::text, '') else '' end`).Scan(&texts[0], &texts[1])
	if err == nil {
		received, err = pair.ParseLSN(texts[0])
	}
	if err == nil {
		replayed, err = pair.ParseLSN(texts[1])
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask PostgreSQL what it has applied: %w", err)
	}
	return received, replayed, nil
}

// ResumeReplay lets a standby apply WAL again. Nothing paused is fine, and so is
// a server that is a primary by now.
func (s *Session) ResumeReplay(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "select pg_wal_replay_resume()")
	if err != nil && !hasCode(err, "55000") { // recovery is not in progress
		return fmt.Errorf("resume replay: %w", err)
	}
	return nil
}
