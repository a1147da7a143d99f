package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"mcctl/pkg/pair"
)

// Tablespace is one that somebody made, in a directory of its own.
type Tablespace struct {
	OID      string `json:"oid"`
	Name     string `json:"name"`
	Location string `json:"location"` // where the server that was asked has it
	Bytes    int64  `json:"bytes"`    // 0 when the size was not asked for
}

// Tablespaces lists the source's tablespaces that lie outside its data directory.
// One "in place" is a directory below pg_tblspc (allow_in_place_tablespaces, 15 and
// later), which pg_basebackup copies like any other.
func (s Source) Tablespaces(ctx context.Context) ([]Tablespace, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer (&Session{conn: conn}).Close()
	return tablespaces(ctx, conn, "0")
}

func tablespaces(ctx context.Context, conn *pgx.Conn, size string) ([]Tablespace, error) {
	rows, err := conn.Query(ctx, "select oid::text, spcname::text, pg_tablespace_location(oid), coalesce("+size+`, 0)::bigint
from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by oid`)
	if err != nil {
		return nil, fmt.Errorf("look at the tablespaces: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Tablespace, err error) {
		return t, row.Scan(&t.OID, &t.Name, &t.Location, &t.Bytes)
	})
	if err != nil {
		return nil, fmt.Errorf("look at the tablespaces: %w", err)
	}
	outside := all[:0]
	for _, t := range all {
		if strings.HasPrefix(t.Location, "/") {
			outside = append(outside, t)
		}
	}
	return outside, nil
}

// Holdings is what a primary has to copy, and from where on it still has its log.
type Holdings struct {
	Bytes       int64 // in the data directory, without pg_wal
	Tablespaces []Tablespace
	// WAL is what the log may grow by between two checkpoints (max_wal_size): a
	// measure of what is written while a copy is made.
	WAL int64
	// SlotLimit is how much log a slot may keep (max_slot_wal_keep_size); -1: no limit.
	SlotLimit int64
	// SlotIdle is after how many seconds without a standby a slot is invalidated
	// (idle_replication_slot_timeout, 18); 0: never.
	SlotIdle int64
	// OldestWAL is the first byte of the oldest segment in pg_wal.
	OldestWAL pair.LSN
}

// Holdings walks through the files, so it takes its time on a large server. The
// session's role must be a superuser or a member of pg_monitor.
func (s *Session) Holdings(ctx context.Context) (Holdings, error) {
	var h Holdings
	var err error
	if h.Tablespaces, err = tablespaces(ctx, s.conn, "pg_tablespace_size(oid)"); err != nil {
		return h, err
	}
	err = s.conn.QueryRow(ctx, `
select (select sum(pg_tablespace_size(oid)) from pg_tablespace
    where pg_tablespace_location(oid) not like '/%')::bigint,
  (select setting::bigint * 1024 * 1024 from pg_settings where name = 'max_wal_size'),
  (select case when setting::bigint < 0 then -1 else setting::bigint * 1024 * 1024 end
    from pg_settings where name = 'max_slot_wal_keep_size'),
  coalesce((select setting::bigint from pg_settings where name = 'idle_replication_slot_timeout'), 0)`).Scan(&h.Bytes, &h.WAL, &h.SlotLimit, &h.SlotIdle)
	if err != nil {
		return h, fmt.Errorf("measure what there is to copy: %w", err)
	}
	h.OldestWAL, err = s.OldestWAL(ctx)
	return h, err
}

// OldestWAL is the first byte of the oldest log segment that the server still has,
// of whatever timeline; the files are the truth, whatever the slots say.
func (s *Session) OldestWAL(ctx context.Context) (pair.LSN, error) {
	var high, low, size int64
	err := s.conn.QueryRow(ctx, `
select ('x' || substr(name, 9, 8))::bit(32)::bigint, ('x' || substr(name, 17, 8))::bit(32)::bigint,
  (select setting::bigint from pg_settings where name = 'wal_segment_size')
from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' order by substr(name, 9) limit 1`).Scan(&high, &low, &size)
	if err != nil {
		return 0, fmt.Errorf("find the oldest log: %w", err)
	}
	return pair.LSN(uint64(high)<<32 + uint64(low)*uint64(size)), nil
}
