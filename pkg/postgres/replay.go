package postgres

import (
	"context"
	"fmt"
	"time"

	"mcctl/pkg/pair"
)

// replayPoll is how often a pause is asked for again.
const replayPoll = 5 * time.Millisecond

// PauseReplay stops applying WAL on a standby and returns when that is so; WAL is
// still received and flushed. When ctx ends first, the pause may still come.
//
// Some servers only tell that a pause was asked for (majors.Abilities.PauseState). A
// record that was being applied at that moment may still finish, but none that is
// written after the call returned.
func (s *Session) PauseReplay(ctx context.Context) error {
	query := "select pg_is_wal_replay_paused()"
	if s.can.PauseState {
		query = "select pg_get_wal_replay_pause_state() = 'paused'"
	}
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	for {
		// Anew each time: a resume that came in between would be waited out for ever.
		if _, err := s.conn.Exec(ctx, "select pg_wal_replay_pause()"); err != nil {
			return fmt.Errorf("pause replay: %w", err)
		}
		var paused bool
		if err := s.conn.QueryRow(ctx, query).Scan(&paused); err != nil {
			return fmt.Errorf("pause replay: %w", err)
		}
		if paused {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pause replay: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
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
