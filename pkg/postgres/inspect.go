package postgres

import (
	"context"
)

// Inspection is what a check wants to know of a running server's configuration and
// state. It is asked rarely and may take a while on a large cluster (DataBytes).
type Inspection struct {
	Version    string `json:"version"` // "15.20", as the server says it
	InRecovery bool   `json:"in_recovery"`
	// Settings are those of InspectedSettings that this version has, in base units.
	Settings map[string]Setting `json:"settings"`
	// PendingRestart names settings that were changed and wait for a restart.
	PendingRestart []string `json:"pending_restart"`
	// FileErrors are lines of the configuration files that PostgreSQL refuses,
	// HBAErrors those of pg_hba.conf.
	FileErrors []FileError `json:"file_errors"`
	HBAErrors  []FileError `json:"hba_errors"`
	// SyncCommits are all the values of synchronous_commit that somebody has set.
	SyncCommits []RoleSetting `json:"sync_commits"`
	Slots       []SlotUse     `json:"slots"`
	Archiver    Archiver      `json:"archiver"`
	// Senders counts the walsenders in use, whoever they serve.
	Senders   int   `json:"senders"`
	DataBytes int64 `json:"data_bytes"` // all tablespaces, without the log
	// Outside are the sizes of those tablespaces that lie outside the data directory, by OID.
	Outside      map[string]int64 `json:"outside"`
	ReplayPaused bool             `json:"replay_paused"`
}

// Setting is a row of pg_settings.
type Setting struct {
	Value string `json:"value"` // in Unit
	Unit  string `json:"unit"`
	Shown string `json:"shown"` // as SHOW says it
}

// FileError is a line that PostgreSQL cannot use.
type FileError struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// RoleSetting is a value set for a role, a database, both, or, with neither, in the
// configuration files (pg_db_role_setting, pg_file_settings).
type RoleSetting struct {
	Role     string `json:"role"`
	Database string `json:"database"`
	Value    string `json:"value"`
	// Everybody: ALTER ROLE ALL, which goes before the configuration files.
	Everybody bool `json:"everybody"`
}

// InspectedSettings are the settings that checks look at.
func InspectedSettings() []string {
	return []string{
		"wal_level", "fsync", "full_page_writes", "hot_standby", "max_wal_senders", "max_replication_slots", "max_slot_wal_keep_size",
		"idle_replication_slot_timeout", // 18
		"restart_after_crash", "wal_retrieve_retry_interval", "wal_sender_timeout", "wal_receiver_timeout", "wal_log_hints",
		"recovery_min_apply_delay", "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
		"recovery_target_xid", "recovery_target_timeline", "max_connections", "max_worker_processes", "max_prepared_transactions",
		"max_locks_per_transaction", "archive_mode", "ssl_cert_file",
	}
}

// A setting that waits for a restart stands in pg_file_settings as an error too
// ("setting could not be applied", guc-file.l, 13 to 18), so it is left out there.
// synchronous_commit cannot be read from pg_settings: this session has its own.
const inspectSQL = `select json_build_object(
  'version', current_setting('server_version'),
  'in_recovery', here.recovering,
  'settings', (select json_object_agg(name, json_build_object('value', setting, 'unit', coalesce(unit, ''), 'shown', current_setting(name)))
     from pg_settings where name = any($1)),
  'pending_restart', coalesce((select json_agg(name order by name) from pg_settings where pending_restart), '[]'),
  'file_errors', coalesce((select json_agg(json_build_object('file', coalesce(sourcefile, ''), 'line', coalesce(sourceline, 0), 'error', coalesce(name || ': ', '') || error) order by seqno)
     from pg_file_settings f where error is not null and not exists (select from pg_settings s where s.name = lower(f.name) and s.pending_restart)), '[]'),
  'sync_commits', coalesce((select json_agg(json_build_object('role', role, 'database', database, 'value', value, 'everybody', everybody)) from (
       select coalesce(r.rolname, '') as role, coalesce(d.datname, '') as database, split_part(c, '=', 2) as value, s.setrole = 0 and s.setdatabase = 0 as everybody
       from pg_db_role_setting s cross join unnest(s.setconfig) c
       left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
       where split_part(c, '=', 1) = 'synchronous_commit'
       union all
       (select '', '', setting, false from pg_file_settings where lower(name) = 'synchronous_commit' and error is null order by seqno desc limit 1)) set), '[]'),
  'slots', ` + slotsSQL + `,
  'archiver', ` + archiverSQL + `,
  'senders', (select count(*) from pg_stat_replication),
  'data_bytes', (select coalesce(sum(pg_tablespace_size(oid)), 0) from pg_tablespace)::bigint,
  'outside', (select coalesce(json_object_agg(oid, pg_tablespace_size(oid)), '{}') from pg_tablespace where pg_tablespace_location(oid) like '/%'),
  'replay_paused', case when here.recovering then pg_is_wal_replay_paused() else false end)::text
from ` + hereSQL

// Inspect asks all of it. It needs a superuser: the views of the configuration files are
// for nobody else.
func (s *Session) Inspect(ctx context.Context) (i Inspection, err error) {
	if err := s.document(ctx, &i, "server's configuration", inspectSQL, InspectedSettings()); err != nil {
		return i, err
	}
	faults, err := s.HBAFaults(ctx)
	for _, f := range faults {
		i.HBAErrors = append(i.HBAErrors, FileError{File: f.File, Line: f.Line, Error: f.Text})
	}
	return i, err
}
