package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// reading is a transaction on a standby that has seen the one row of table t.
func reading(t *testing.T, primary, standby *Instance) *pgx.Conn {
	t.Helper()
	execute(t, primary, "insert into t values (1)")
	reader := client(t, standby)
	eventually(t, "a reader sees the row", func() (sees bool) {
		_, err := reader.Exec(within(t), "begin isolation level repeatable read")
		ok(t, err)
		ok(t, reader.QueryRow(within(t), "select exists (select from t)").Scan(&sees))
		if !sees {
			_, err = reader.Exec(within(t), "rollback")
			ok(t, err)
		}
		return sees
	})
	return reader
}

// replayWaits has replay on a standby that never ends a reader by itself wait for one.
func replayWaits(t *testing.T, primary, standby *Instance) (reader *pgx.Conn) {
	t.Helper()
	set(t, standby, "max_standby_streaming_delay = -1")
	reader = reading(t, primary, standby)
	execute(t, primary, "delete from t")
	execute(t, primary, "vacuum t")
	watch := client(t, standby)
	eventually(t, "replay waits for the reader", func() (waits bool) {
		ok(t, watch.QueryRow(within(t), "select exists (select from pg_stat_activity where backend_type = 'startup' and wait_event like 'RecoveryConflict%')").Scan(&waits))
		return waits
	})
	return reader
}

func TestFactAPromotionWaitsForReaders(t *testing.T) {
	primary, standby := newPair(t)
	replayWaits(t, primary, standby)
	pid, running := standby.Postmaster()
	for asked := time.Now(); running && time.Since(asked) < 3*time.Second; time.Sleep(10 * time.Millisecond) {
		ok(t, standby.AskPromotion(pid))
	}
	set(t, standby, "max_standby_streaming_delay = 0")
	for asked := time.Now(); running && time.Since(asked) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
		ok(t, standby.AskPromotion(pid))
	}
	if !running || query(t, standby, "pg_is_in_recovery()") != "true" {
		t.Fatal("it was promoted, or has ended")
	}
	if n, err := connect(t, standby).EndReaders(within(t)); err != nil || n != 1 {
		t.Fatalf("ended %d, %v", n, err)
	}
	promote(t, standby)
}

// Nobody's session is ended while replay goes on, nor one that cannot be in its way, nor one
// of a supervisor.
func TestEndReaders(t *testing.T) {
	primary, standby := newPair(t)
	s, idle, early := connect(t, standby), client(t, standby), reading(t, primary, standby)
	end := func(want int) {
		t.Helper()
		if n, err := s.EndReaders(within(t)); err != nil || n != want {
			t.Errorf("ended %d of %d, %v", n, want, err)
		}
	}
	end(0)
	_, err := early.Exec(within(t), "rollback")
	ok(t, err)
	reader := replayWaits(t, primary, standby)
	without := client(t, standby)
	_, err = without.Exec(within(t), "begin; select 1") // has no snapshot any more
	ok(t, err)
	own := connect(t, standby).conn
	_, err = own.Exec(within(t), "begin isolation level repeatable read; select 1")
	ok(t, err)
	end(1)
	for _, stays := range []*pgx.Conn{idle, early, without, own} {
		ok(t, stays.Ping(within(t)))
	}
	if reader.Ping(within(t)) == nil {
		t.Error("the reader's session is still there")
	}
	for _, ends := range []*pgx.Conn{without, own} {
		_, err = ends.Exec(within(t), "rollback")
		ok(t, err)
	}
	_, err = early.Exec(within(t), "begin; select from t")
	ok(t, err)
	execute(t, primary, "begin; lock table t in access exclusive mode; commit")
	ends := func(want int) func() bool {
		return func() bool {
			n, err := s.EndReaders(within(t))
			ok(t, err)
			return n == want
		}
	}
	eventually(t, "replay waits for the table's lock", ends(1))
	eventually(t, "it has gone", func() bool { return early.Ping(within(t)) != nil })
	// Its client hears of it before PostgreSQL has stopped counting it among the sessions.
	eventually(t, "nobody is left to be ended", ends(0))
}
