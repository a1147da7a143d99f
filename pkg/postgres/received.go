package postgres

import (
	"context"
	"fmt"

	"mcctl/pkg/pair"
)

// Received is how far a standby has said that it has the log, also one whose connection
// has ended since: its slot remembers that (PhysicalConfirmReceivedLocation in
// walsender.c, 13 to 18).
type Received struct {
	Flush, Write pair.LSN
	// SyncNames is synchronous_standby_names as this session sees it.
	SyncNames string
	Here      map[int]bool // of the backends asked about
}

// Received asks for it by the standby's name and slot, and which of the backends are
// still there.
func (s *Session) Received(ctx context.Context, standby, slot string, pids []int) (r Received, err error) {
	var flush, write, kept string
	var here []int32
	err = s.conn.QueryRow(ctx, `
select coalesce(max(flush_lsn)::text, ''), coalesce(max(write_lsn)::text, ''),
  coalesce((select restart_lsn::text from pg_replication_slots where slot_name = $2), ''),
  current_setting('synchronous_standby_names'),
  (select coalesce(array_agg(pid), '{}') from pg_stat_activity where pid = any($3))
from pg_stat_replication where application_name = $1`, standby, slot, pids).Scan(&flush, &write, &kept, &r.SyncNames, &here)
	if err != nil {
		return r, fmt.Errorf("ask what the standby has received: %w", err)
	}
	for _, text := range []string{flush, kept} {
		at, err := pair.ParseLSN(text)
		if err != nil {
			return r, err
		}
		r.Flush = max(r.Flush, at)
	}
	if r.Write, err = pair.ParseLSN(write); err != nil {
		return r, err
	}
	r.Write, r.Here = max(r.Write, r.Flush), map[int]bool{}
	for _, pid := range here {
		r.Here[int(pid)] = true
	}
	return r, nil
}
