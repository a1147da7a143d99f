package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"mcctl/pkg/pair"
)

// Progress is how far one server is with its log, for people and monitoring. Ages
// and lags are seconds; null is "not known" and never "none".
type Progress struct {
	InRecovery bool `json:"in_recovery"`
	// Insert is the newest position written here (primary), Flushed the newest on this disk.
	Insert  pair.LSN `json:"insert"`
	Flushed pair.LSN `json:"flushed"`
	// Replayed and what follows it are a standby's.
	Replayed     pair.LSN  `json:"replayed"`
	ReplayPaused bool      `json:"replay_paused"`
	Receiver     *Incoming `json:"receiver,omitempty"`
	// ReplayAge is how old the newest replayed commit is: on an idle pair it grows
	// although nothing is missing, so read it beside Flushed and Replayed.
	ReplayAge *float64   `json:"replay_age,omitempty"`
	Conflicts *Conflicts `json:"conflicts,omitempty"`
	Senders   []Outgoing `json:"senders"` // who streams from here
	Slots     []SlotUse  `json:"slots"`
	Archiver  Archiver   `json:"archiver"`
}

// Outgoing is a row of pg_stat_replication. The lags in seconds are PostgreSQL's
// own measurement of recent log; it forgets them when there is nothing to send.
type Outgoing struct {
	Name        string   `json:"name"`
	State       string   `json:"state"`
	SyncState   string   `json:"sync_state"`
	Sent        pair.LSN `json:"sent"`
	Write       pair.LSN `json:"write"`
	Flush       pair.LSN `json:"flush"`
	Replay      pair.LSN `json:"replay"`
	SentBytes   uint64   `json:"sent_lag_bytes"` // behind Insert, as are the others
	WriteBytes  uint64   `json:"write_lag_bytes"`
	FlushBytes  uint64   `json:"flush_lag_bytes"`
	ReplayBytes uint64   `json:"replay_lag_bytes"`
	WriteLag    *float64 `json:"write_lag"`
	FlushLag    *float64 `json:"flush_lag"`
	ReplayLag   *float64 `json:"replay_lag"`
	ReplyAge    *float64 `json:"reply_age"` // since the standby last said anything
}

// Incoming is the row of pg_stat_wal_receiver.
type Incoming struct {
	Status string `json:"status"`
	// Written is on its way to this disk, Told the end of the primary's log as it last said.
	Written    pair.LSN `json:"written"`
	Told       pair.LSN `json:"told"`
	MessageAge *float64 `json:"message_age"`
}

// SlotUse is a row of pg_replication_slots.
type SlotUse struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Active bool   `json:"active"`
	// Status is wal_status: "reserved", "extended", "unreserved" or "lost" (PostgreSQL 13 and later).
	Status   string `json:"wal_status"`
	Retained int64  `json:"retained_bytes"`
	// Left is how much more log may be written before the slot loses some; null
	// without max_slot_wal_keep_size.
	Left *int64 `json:"left_bytes"`
}

// Archiver is pg_stat_archiver and the files that wait.
type Archiver struct {
	On       bool   `json:"on"`
	Archived int64  `json:"archived"`
	Failed   int64  `json:"failed"`
	LastWAL  string `json:"last_failed_wal,omitempty"`
	// Failing: the newest attempt failed.
	Failing    bool     `json:"failing"`
	FailureAge *float64 `json:"failure_age"`
	SuccessAge *float64 `json:"success_age"`
	Ready      int      `json:"ready"` // segments that wait to be archived
}

// Conflicts counts standby queries that replay cancelled (pg_stat_database_conflicts).
type Conflicts struct {
	Tablespace int64 `json:"tablespace"`
	Lock       int64 `json:"lock"`
	Snapshot   int64 `json:"snapshot"`
	Bufferpin  int64 `json:"bufferpin"`
	Deadlock   int64 `json:"deadlock"`
}

// Sum is how many queries were cancelled in all.
func (c Conflicts) Sum() int64 {
	return c.Tablespace + c.Lock + c.Snapshot + c.Bufferpin + c.Deadlock
}

// slotsSQL and archiverSQL are shared with Inspect; both need a row "here" with
// recovering and position. pg_stat_archiver keeps ages of both outcomes, so the
// newer one tells whether it works now (13 to 18).
const (
	slotsSQL = `coalesce((select json_agg(json_build_object('name', slot_name, 'type', slot_type, 'active', active,
      'wal_status', coalesce(wal_status, ''), 'left_bytes', safe_wal_size,
      'retained_bytes', coalesce(pg_wal_lsn_diff(here.position, restart_lsn), 0)::bigint) order by slot_name) from pg_replication_slots), '[]')`
	archiverSQL = `(select json_build_object('on', current_setting('archive_mode') <> 'off', 'archived', archived_count, 'failed', failed_count,
      'last_failed_wal', coalesce(last_failed_wal, ''),
      'failing', last_failed_time is not null and last_failed_time > coalesce(last_archived_time, '-infinity'),
      'failure_age', extract(epoch from clock_timestamp() - last_failed_time)::float8,
      'success_age', extract(epoch from clock_timestamp() - last_archived_time)::float8,
      'ready', (select count(*) from pg_ls_archive_statusdir() where name like '%.ready')) from pg_stat_archiver)`
	// hereSQL asks for the role once: the functions of the other role raise errors.
	hereSQL = `(select recovering, case when recovering then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end as position
    from (select pg_is_in_recovery() as recovering offset 0) role) here`
)

const progressSQL = `select json_build_object(
  'in_recovery', here.recovering,
  'insert', case when not here.recovering then here.position end,
  'flushed', case when here.recovering then coalesce(pg_last_wal_receive_lsn(), here.position) else pg_current_wal_flush_lsn() end,
  'replayed', case when here.recovering then here.position end,
  'replay_paused', case when here.recovering then pg_is_wal_replay_paused() else false end,
  'replay_age', case when here.recovering then extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end,
  'receiver', (select json_build_object('status', status, 'written', flushed_lsn, 'told', latest_end_lsn,
      'message_age', extract(epoch from clock_timestamp() - last_msg_receipt_time)::float8) from pg_stat_wal_receiver),
  'conflicts', case when here.recovering then (select json_build_object('tablespace', sum(confl_tablespace), 'lock', sum(confl_lock),
      'snapshot', sum(confl_snapshot), 'bufferpin', sum(confl_bufferpin), 'deadlock', sum(confl_deadlock)) from pg_stat_database_conflicts) end,
  'senders', coalesce((select json_agg(json_build_object('name', application_name, 'state', state, 'sync_state', sync_state,
      'sent', sent_lsn, 'write', write_lsn, 'flush', flush_lsn, 'replay', replay_lsn,
      'sent_lag_bytes', greatest(pg_wal_lsn_diff(here.position, sent_lsn), 0)::bigint, 'write_lag_bytes', greatest(pg_wal_lsn_diff(here.position, write_lsn), 0)::bigint,
      'flush_lag_bytes', greatest(pg_wal_lsn_diff(here.position, flush_lsn), 0)::bigint, 'replay_lag_bytes', greatest(pg_wal_lsn_diff(here.position, replay_lsn), 0)::bigint,
      'write_lag', extract(epoch from write_lag)::float8, 'flush_lag', extract(epoch from flush_lag)::float8, 'replay_lag', extract(epoch from replay_lag)::float8,
      'reply_age', extract(epoch from clock_timestamp() - reply_time)::float8) order by application_name) from pg_stat_replication), '[]'),
  'slots', ` + slotsSQL + `,
  'archiver', ` + archiverSQL + `)::text
from ` + hereSQL

// Progress asks in one statement how far this server is with its log. It costs a
// few milliseconds, so it is asked when somebody wants to know and not all the time.
func (s *Session) Progress(ctx context.Context) (p Progress, err error) {
	return p, s.document(ctx, &p, "progress of replication", progressSQL)
}

// document runs a statement that answers with one JSON text.
func (s *Session) document(ctx context.Context, into any, what, sql string, args ...any) error {
	var text string
	if err := s.conn.QueryRow(ctx, sql, args...).Scan(&text); err != nil {
		return fmt.Errorf("look at the %s: %w", what, err)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("look at the %s: %w", what, err)
	}
	return nil
}
