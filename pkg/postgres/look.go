package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mcctl/pkg/pair"
)

// Look is one view of the server at one moment. What belongs to the other role
// is zero.
type Look struct {
	InRecovery bool
	// Timeline is the one written to (primary) or received (standby; without a
	// walreceiver the one it must at least reach to be consistent, or 0).
	Timeline pair.Timeline
	// CheckpointTimeline is pg_control's; on a new primary it lags until the first
	// checkpoint, and until then pg_rewind would go wrong.
	CheckpointTimeline pair.Timeline

	Insert, Flush      pair.LSN // primary
	Received, Replayed pair.LSN // standby: on disk, applied
	ReplayPaused       bool
	Receiver           Receiver
	Peer               *Sender // nil: the other server does not stream from here

	// SyncWaiters counts client backends whose commit waits for the standby.
	SyncWaiters int
	// Waiters are those of them whose transaction has a number, but for the supervisor's
	// own, which gives up its canaries on purpose.
	Waiters []Waiter
	// SyncNames is synchronous_standby_names as this session sees it. Other backends
	// may still act on the former value; see Canary.
	SyncNames string
}

// Waiter is a client's session whose commit waits for the standby.
type Waiter struct {
	PID         int    `json:"pid"`
	XID         uint32 `json:"xid"`
	User        string `json:"user"`
	Application string `json:"application"`
	Client      string `json:"client"` // its address; empty over the local socket
}

// Receiver is the standby's walreceiver (pg_stat_wal_receiver).
type Receiver struct {
	PID    int
	Status string // "streaming", "waiting", … ; empty: there is none, or see board.Sight.Saw
	// Answered: the primary has sent something over this stream. A walreceiver says that it
	// streams before it has asked for that, and a refusal ends it (13 to 18).
	Answered bool
	// Silence is the time since the last message of the primary, by this host's
	// wall clock; 0 when there was none.
	Silence time.Duration
}

// Sender is the other server's row in pg_stat_replication.
type Sender struct {
	PID                        int
	State                      string // "streaming", "catchup", "startup", "backup", "stopping"
	SyncState                  string // "sync", "quorum", "potential", "async"; see SyncNames
	Sent, Write, Flush, Replay pair.LSN
	// Reply is when it sent its last reply, in microseconds by its own clock: another
	// one is news, its age says nothing.
	Reply int64
}

// lookSQL is one statement, so that a look costs one round trip. The subquery
// asks for the role once; the branches of a case are only evaluated when taken,
// as the functions of the other role raise errors.
const lookSQL = `
select here.recovering,
  coalesce(case when here.recovering
    then coalesce(receiver.received_tli, (select nullif(min_recovery_end_timeline, 0) from pg_control_recovery()))
    else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint end, 0)::bigint,
  (select timeline_id from pg_control_checkpoint())::bigint,
  coalesce(case when not here.recovering then pg_current_wal_insert_lsn() end::text, ''),
  coalesce(case when not here.recovering then pg_current_wal_flush_lsn() end::text, ''),
  coalesce(case when here.recovering then pg_last_wal_receive_lsn() end::text, ''),
  coalesce(case when here.recovering then pg_last_wal_replay_lsn() end::text, ''),
  case when here.recovering then pg_is_wal_replay_paused() else false end,
  coalesce(receiver.pid, 0), coalesce(receiver.status, ''),
  coalesce(receiver.last_msg_send_time <> receiver.last_msg_receipt_time, false),
  coalesce(extract(epoch from clock_timestamp() - receiver.last_msg_receipt_time), 0)::float8,
  coalesce(peer.pid, 0), coalesce(peer.state, ''), coalesce(peer.sync_state, ''),
  coalesce(peer.sent_lsn::text, ''), coalesce(peer.write_lsn::text, ''),
  coalesce(peer.flush_lsn::text, ''), coalesce(peer.replay_lsn::text, ''),
  coalesce(extract(epoch from peer.reply_time) * 1000000, 0)::bigint,
  waiting.n, waiting.list,
  current_setting('synchronous_standby_names')
from (select pg_is_in_recovery() as recovering offset 0) here
left join pg_stat_wal_receiver receiver on true
left join lateral (
  select * from pg_stat_replication where application_name = $1
  order by (state = 'streaming') desc, backend_start desc limit 1) peer on true
left join lateral (
  select count(*)::int as n,
    coalesce(json_agg(json_build_object('pid', pid, 'xid', backend_xid::text::bigint, 'user', coalesce(usename, ''),
      'application', coalesce(application_name, ''), 'client', coalesce(host(client_addr), ''))) filter (where backend_xid is not null and application_name <> 'mcctl')::text, '') as list
  from pg_stat_activity where wait_event = 'SyncRep' and backend_type = 'client backend') waiting on true`

// Look asks everything in one prepared statement. peerName is the application
// name under which the other server streams. While a promotion ends, one Look may
// fail because the role changed in the middle.
func (s *Session) Look(ctx context.Context, peerName string) (Look, error) {
	var raw rawLook
	if err := raw.scan(s.conn.QueryRow(ctx, lookSQL, peerName)); err != nil {
		return Look{}, fmt.Errorf("look at PostgreSQL: %w", err)
	}
	look, err := raw.look()
	if err != nil {
		return Look{}, fmt.Errorf("look at PostgreSQL: %w", err)
	}
	return look, nil
}

// rawLook is the row as it comes: log positions as text, as pair reads them.
type rawLook struct {
	Look
	timeline, checkpointTimeline        int64
	insert, flush, received, replayed   string
	silence                             float64
	peer                                Sender
	sent, write, flushedThere, appliedT string
	waiters                             string
}

func (r *rawLook) scan(row pgx.Row) error {
	return row.Scan(&r.InRecovery, &r.timeline, &r.checkpointTimeline,
		&r.insert, &r.flush, &r.received, &r.replayed, &r.ReplayPaused,
		&r.Receiver.PID, &r.Receiver.Status, &r.Receiver.Answered, &r.silence,
		&r.peer.PID, &r.peer.State, &r.peer.SyncState,
		&r.sent, &r.write, &r.flushedThere, &r.appliedT, &r.peer.Reply,
		&r.SyncWaiters, &r.waiters, &r.SyncNames)
}

func (r *rawLook) look() (Look, error) {
	for _, p := range []struct {
		to   *pair.LSN
		text string
	}{
		{&r.Insert, r.insert},
		{&r.Flush, r.flush},
		{&r.Received, r.received},
		{&r.Replayed, r.replayed},
		{&r.peer.Sent, r.sent},
		{&r.peer.Write, r.write},
		{&r.peer.Flush, r.flushedThere},
		{&r.peer.Replay, r.appliedT},
	} {
		var err error
		if *p.to, err = pair.ParseLSN(p.text); err != nil {
			return Look{}, err
		}
	}
	if r.waiters != "" {
		if err := json.Unmarshal([]byte(r.waiters), &r.Waiters); err != nil {
			return Look{}, fmt.Errorf("read waiters: %w", err)
		}
	}
	r.Timeline, r.CheckpointTimeline = pair.Timeline(r.timeline), pair.Timeline(r.checkpointTimeline)
	r.Receiver.Silence = time.Duration(r.silence * float64(time.Second))
	if r.peer.PID != 0 {
		r.Peer = &r.peer
	}
	return r.Look, nil
}
