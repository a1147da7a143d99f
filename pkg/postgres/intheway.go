package postgres

import "context"

// InTheWay is what a shutdown of this server would meet.
type InTheWay struct {
	Transactions []Activity `json:"transactions"` // open ones, oldest first, at most 20
	Open         int        `json:"open"`         // how many there are in all
	Prepared     []Prepared `json:"prepared"`
	// Blocked are sessions that wait for a lock, each with those that hold it up; the
	// ones with the oldest transactions, at most 100.
	Blocked []Blocked `json:"blocked"`
	Waiting int       `json:"waiting"` // how many wait for a lock in all
	Clients int       `json:"clients"`
	// SinceCheckpoint is the log written since the last checkpoint began, in bytes:
	// dirty buffers cannot be more than this log has touched.
	SinceCheckpoint int64 `json:"since_checkpoint_bytes"`
	SharedBuffers   int64 `json:"shared_buffers_bytes"`
	// Dirty is how much of the buffers is not on the disk; null without the extension pg_buffercache.
	Dirty *int64 `json:"dirty_bytes"`
}

// Activity is a client's open transaction.
type Activity struct {
	PID      int      `json:"pid"`
	User     string   `json:"user"`
	Database string   `json:"database"`
	Name     string   `json:"application"`
	State    string   `json:"state"`
	Age      *float64 `json:"age"` // of the transaction, seconds
	Query    string   `json:"query"`
}

// Prepared is a transaction between PREPARE and COMMIT.
type Prepared struct {
	GID      string  `json:"gid"`
	Owner    string  `json:"owner"`
	Database string  `json:"database"`
	Age      float64 `json:"age"` // seconds
}

// Blocked is one session that waits. By are those that hold it up, at most 20, first the
// ones that do not wait themselves. A PID of 0 among them is a prepared transaction; who
// only stands further ahead in the queue is named too (pg_blocking_pids, "System
// Information Functions", 13 to 18).
type Blocked struct {
	Activity
	By []int `json:"by"`
}

// Queries are cut to one line's worth. pg_blocking_pids holds up the lock manager for
// a moment, and names in a queue of n sessions about n for each: so few are asked about,
// and few are told.
const inTheWaySQL = `with session as (
  select a.*, extract(epoch from clock_timestamp() - xact_start)::float8 as age, wait_event_type is not distinct from 'Lock' as waits
  from pg_stat_activity a where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name <> 'mcctl'),
waiting as (select pid, array(select other from unnest(pg_blocking_pids(pid)) other group by other
      order by other in (select pid from session where waits), other limit 20) as blockers
  from (select pid from session where waits order by age desc limit 100) w),
told as (select pid, xact_start, age, blockers, json_build_object('pid', pid, 'user', coalesce(usename, ''), 'database', coalesce(datname, ''),
  'application', application_name, 'state', coalesce(state, ''), 'age', age, 'query', left(regexp_replace(query, '\s+', ' ', 'g'), 80), 'by', blockers) as doc
  from session left join waiting using (pid))
select json_build_object(
  'transactions', coalesce((select json_agg(doc order by age desc) from (select doc, age from told where xact_start is not null order by age desc limit 20) t), '[]'),
  'open', (select count(*) from told where xact_start is not null),
  'prepared', coalesce((select json_agg(json_build_object('gid', gid, 'owner', owner, 'database', database,
      'age', extract(epoch from clock_timestamp() - prepared)::float8) order by prepared) from pg_prepared_xacts), '[]'),
  'blocked', coalesce((select json_agg(doc order by age desc) from told where cardinality(blockers) > 0), '[]'),
  'waiting', (select count(*) from session where waits),
  'clients', (select count(*) from told),
  'since_checkpoint_bytes', (select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::bigint from pg_control_checkpoint()),
  'shared_buffers_bytes', (select setting::bigint * current_setting('block_size')::bigint from pg_settings where name = 'shared_buffers'))::text`

// InTheWay asks a primary in one statement.
func (s *Session) InTheWay(ctx context.Context) (w InTheWay, err error) {
	return w, s.document(ctx, &w, "sessions in the way", inTheWaySQL)
}

// DirtyBytes counts dirty buffers, if the extension pg_buffercache is in the
// supervisor's database; ok tells. It reads every buffer's header: some tens of
// milliseconds for each gigabyte.
func (s *Session) DirtyBytes(ctx context.Context) (dirty int64, ok bool) {
	var schema string
	if err := s.conn.QueryRow(ctx, "select quote_ident(nspname) from pg_extension e join pg_namespace n on n.oid = extnamespace where extname = 'pg_buffercache'").Scan(&schema); err != nil {
		return 0, false
	}
	err := s.conn.QueryRow(ctx, "select count(*) filter (where isdirty) * current_setting('block_size')::bigint from "+schema+".pg_buffercache").Scan(&dirty)
	return dirty, err == nil
}
