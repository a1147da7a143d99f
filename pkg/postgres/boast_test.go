package postgres

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"mcctl/pkg/pair"
)

// A standby of another history may call flushed what never was here. When the names are
// in force PostgreSQL keeps the position, and commits below it wait for nobody any more,
// whoever streams (SyncRepReleaseWaiters and SyncRepWaitForLSN in syncrep.c, 13 to 18).
// So such a standby must not be attached (board.Limits), and the canary must notice.
func TestFactAConfirmedPositionIsKept(t *testing.T) {
	in := newServer(t)
	start(t, in)
	set(t, in, "synchronous_standby_names = 's'")
	here, err := pair.ParseLSN(query(t, in, "pg_current_wal_flush_lsn()"))
	ok(t, err)
	boaster := streamFrom(t, in, "s", here)
	s := connect(t, in)
	eventually(t, "it is synchronous", func() bool {
		boaster.confirm(t, here)
		look, err := s.Look(within(t), "s")
		ok(t, err)
		return look.Peer != nil && look.Peer.SyncState == "sync"
	})
	waits := func() bool {
		c, err := in.StartCanary(within(t))
		ok(t, err)
		if !c.InForce() {
			ok(t, c.Finish(within(t)))
			return false
		}
		short, cancel := contextWith(0)
		defer cancel()
		_ = c.Finish(short) // given up
		return true
	}
	eventually(t, "commits wait for it", waits)
	boaster.confirm(t, here+1<<20)
	eventually(t, "nothing waits any more", func() bool { return !waits() })
	boaster.close(t)
	eventually(t, "it is gone", func() bool { return query(t, in, "select count(*) from pg_stat_replication") == "0" })
	if waits() {
		t.Error("a commit below the position waits")
	}
	for range 2 { // a segment has 1 MB
		execute(t, in, "select pg_switch_wal(), pg_logical_emit_message(false, '', '')")
	}
	if !waits() {
		t.Error("a commit beyond the position does not wait")
	}
}

// boaster is a standby that tells what a test wants.
type boaster struct{ conn *pgconn.PgConn }

func streamFrom(t *testing.T, in *Instance, name string, at pair.LSN) boaster {
	t.Helper()
	conn, err := pgconn.Connect(within(t), fmt.Sprintf("host=%s port=%d user=%s replication=true application_name=%s", in.Socket, in.Port, in.User, name))
	ok(t, err)
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION PHYSICAL " + at.String()})
	ok(t, conn.Frontend().Flush())
	for {
		message, err := conn.ReceiveMessage(within(t))
		ok(t, err)
		if _, streams := message.(*pgproto3.CopyBothResponse); streams {
			return boaster{conn}
		}
	}
}

// confirm is a standby status update: written, flushed and applied up to there.
func (b boaster) confirm(t *testing.T, at pair.LSN) {
	t.Helper()
	update := []byte{'r'}
	for range 3 {
		update = binary.BigEndian.AppendUint64(update, uint64(at))
	}
	update = append(binary.BigEndian.AppendUint64(update, 0), 0)
	b.conn.Frontend().Send(&pgproto3.CopyData{Data: update})
	ok(t, b.conn.Frontend().Flush())
}

func (b boaster) close(t *testing.T) {
	t.Helper()
	ok(t, b.conn.Close(within(t)))
}
