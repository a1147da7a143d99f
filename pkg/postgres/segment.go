package postgres

import (
	"context"
	"fmt"
)

// EndSegment begins a new WAL segment when the present one is more than seven tenths
// full, and tells whether it did. A server that is promoted in the last quarter of a
// segment writes a whole empty one before it takes clients (xlog.c, StartupXLOG calls
// PreallocXlogFiles, 13 to 18), 16 MB by default; the seven tenths leave room for what
// comes until then. The rest of the segment is sent to the standby as zeros, so
// nothing is done where that is more than 16 MB.
func (s *Session) EndSegment(ctx context.Context) (ended bool, err error) {
	err = s.conn.QueryRow(ctx, `
select case when here.used > here.size * 0.7 and here.size - here.used <= 16 * 1024 * 1024 then pg_switch_wal() end is not null
from (
  select size.size, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') % size.size as used
  from (select pg_size_bytes(current_setting('wal_segment_size')) as size) size offset 0) here`).Scan(&ended)
	if err != nil {
		return false, fmt.Errorf("begin a new WAL segment: %w", err)
	}
	return ended, nil
}
