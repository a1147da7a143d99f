package postgres

import (
	"context"
	"fmt"
)

// EndReaders ends the sessions of a standby that replay may be waiting for, if it waits,
// and tells how many: those with a transaction open, or with a snapshot where it waits for
// one. Which of them it is PostgreSQL does not show. The supervisor's own are left alone.
//
// Left alone, it would wait for max_standby_streaming_delay (30 s unless configured
// otherwise, -1: for ever), also when it was asked to promote: the startup process looks
// at neither that nor at a reload while it waits (WaitExceedsMaxStandbyDelay and its callers in
// standby.c, 13 to 18; TestFactAPromotionWaitsForReaders). It waits for snapshots and
// tablespaces as "RecoveryConflict…", for a table's lock and a buffer under their own names.
func (s *Session) EndReaders(ctx context.Context) (ended int, err error) {
	err = s.conn.QueryRow(ctx, `
select count(pg_terminate_backend(reader.pid)) from pg_stat_activity reader
where reader.backend_type = 'client backend' and reader.application_name <> 'mcctl' and reader.xact_start is not null
  and pg_is_in_recovery() and exists (
    select from pg_stat_activity replay where replay.backend_type = 'startup'
      and (replay.wait_event = 'RecoveryConflictSnapshot' and reader.backend_xmin is not null
        or replay.wait_event = 'RecoveryConflictTablespace' or replay.wait_event_type in ('Lock', 'BufferPin')))`).Scan(&ended)
	if err != nil {
		return 0, fmt.Errorf("end the sessions that replay waits for: %w", err)
	}
	return ended, nil
}
