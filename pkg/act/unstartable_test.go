package act

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
)

// A copy, or what was rewound, needs log to start that nobody has any more. PostgreSQL would
// ask for it for ever; the watcher has noted that (board.Sight.Stranded).
func TestAStandbyThatCannotStartIsCopiedAnew(t *testing.T) {
	h, p := besidePrimary(t)
	ok(t, h.Postgres.BaseBackup(within(t), h.copySource(), postgres.BackupOptions{}))
	ok(t, h.swap(false, false))
	segments, err := filepath.Glob(filepath.Join(h.Config.Server.DataDirectory, "pg_wal", "0*"))
	ok(t, err)
	for _, path := range segments {
		ok(t, os.Remove(path))
	}
	sql(t, p.Instance, "select pg_drop_replication_slot(slot_name) from pg_replication_slots")
	for range 3 {
		sql(t, p.Instance, "select pg_logical_emit_message(true, 'a', 'b'); select pg_switch_wal(); checkpoint")
	}
	bounded, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	fails(t, h.StartStandby(bounded), "deadline")
	look(h)
	h.Board.Set(func(s *board.Sight) { s.Stranded = true })
	h.Config.Pair.Policy.Rejoin = []config.Rejoin{config.Rewind}
	pid, _ := h.Postgres.Postmaster()
	fails(t, h.Rejoin(within(t)), "server2 has removed log that this server needs to start", RebuildNotAllowed)
	if now, _ := h.Postgres.Postmaster(); now != pid {
		t.Error("it was stopped for a way that is not allowed")
	}
	h.Config.Pair.Policy.Rejoin = everyWay
	ok(t, h.Rejoin(within(t)))
	if h.Board.Read().Look.Receiver.Status != "streaming" {
		t.Error("it has come back, and does not stream")
	}
}
