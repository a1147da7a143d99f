package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// slot is a row of pg_replication_slots.
type slot struct {
	physical, active bool
	useful           bool // holds WAL back and has lost none of it
}

// EnsureSlot makes sure that there is a physical replication slot which reserves
// WAL from now on (from the last checkpoint's redo on). One that has lost WAL or
// never reserved any is made anew, unless it is in use. A logical slot of the
// same name is an error, and nothing is changed.
func (s *Session) EnsureSlot(ctx context.Context, name string) error {
	have, err := s.slot(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("ensure slot %s: %w", name, err)
	case have != nil && !have.physical:
		return fmt.Errorf("ensure slot %s: there is a logical slot of that name; drop it or configure another name", name)
	case have != nil && (have.useful || have.active):
		return nil
	case have != nil:
		if err := s.DropSlot(ctx, name); err != nil {
			return fmt.Errorf("ensure slot %s: %w", name, err)
		}
	}
	_, err = s.conn.Exec(ctx, "select pg_create_physical_replication_slot($1, true)", name)
	if err != nil && !hasCode(err, "42710") { // duplicate_object: somebody was quicker
		return fmt.Errorf("ensure slot %s: %w", name, err)
	}
	return nil
}

// DropSlot drops the slot. A missing one is fine, one in use is an error.
func (s *Session) DropSlot(ctx context.Context, name string) error {
	_, err := s.conn.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", name)
	if err != nil && !hasCode(err, "42704") { // undefined_object: dropped meanwhile
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}

// slotPatience is how long a copy waits for its slot. The walsender of a copy that
// was killed holds it until it next sends something, at the latest when half of
// wal_sender_timeout is over, which is a minute unless set.
const slotPatience = time.Minute

var errSlotInUse = errors.New("another copy or a standby receives from it; end that first")

// awaitSlot waits until nobody receives from the slot; an empty name is none. What is
// left of a copy by the same name is ended: when pg_basebackup is killed its child, which
// receives the log, lives on, for ever where no log is written.
func (s Source) awaitSlot(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	session := &Session{conn: conn}
	defer session.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, slotPatience, errSlotInUse)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := session.slot(ctx, name)
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("look at slot %s of the source: %w", name, err)
		case err == nil && (have == nil || !have.active):
			return nil
		}
		if err := session.endCopy(ctx, name, s.ApplicationName); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for slot %s of the source: %w", name, context.Cause(ctx))
		}
	}
}

// endCopy ends the walsender of a slot that sends to a copy of that name. Its role may
// do so, being the same.
func (s *Session) endCopy(ctx context.Context, slot, copier string) error {
	_, err := s.conn.Exec(ctx, `
select pg_terminate_backend(sender.pid)
from pg_replication_slots held join pg_stat_replication sender on sender.pid = held.active_pid
where held.slot_name = $1 and sender.application_name = $2`, slot, copier)
	if err != nil {
		return fmt.Errorf("end what is left of a copy: %w", err)
	}
	return nil
}

func (s *Session) slot(ctx context.Context, name string) (*slot, error) {
	var have slot
	err := s.conn.QueryRow(ctx, `
select slot_type = 'physical', active, restart_lsn is not null and coalesce(wal_status, '') <> 'lost'
from pg_replication_slots where slot_name = $1`, name).Scan(&have.physical, &have.active, &have.useful)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &have, nil
}

// hasCode tells PostgreSQL's SQLSTATE of an error.
func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// FreeSlot ends the walsender that has held the slot for longer than age. One whose
// standby has lost its power, or the link to it, is told by nobody: it holds the slot
// for wal_sender_timeout, a minute unless set, and the standby that has come back is
// refused meanwhile. Nothing is waited for: a standby asks again by itself. One that
// sits on a full socket needs to be told twice (15): the first time it tries to say why.
func (s *Session) FreeSlot(ctx context.Context, name string, age time.Duration) (freed bool, err error) {
	tag, err := s.conn.Exec(ctx, `
select pg_terminate_backend(held.active_pid)
from pg_replication_slots held join pg_stat_activity sender on sender.pid = held.active_pid
where held.slot_name = $1 and sender.backend_start < clock_timestamp() - $2::interval`, name, age)
	if err != nil {
		return false, fmt.Errorf("free slot %s: %w", name, err)
	}
	return tag.RowsAffected() > 0, nil
}
