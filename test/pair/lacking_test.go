package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/postgres"
)

// What starts from a copy, or was rewound, and needs log for that which the primary has removed
// is let in by nobody, and nobody can ask it. It is copied anew by itself.
func TestAStandbyThatLacksTheLogToStartIsCopiedAnew(t *testing.T) {
	s := newStage(t, lab.Options{Settings: map[string]string{"wal_keep_size": "0", "max_wal_size": "64MB", "min_wal_size": "32MB"}})
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	data := s.lab.Data(two)
	c, err := (&postgres.Instance{Data: data}).Control()
	if err != nil {
		t.Fatal(err)
	}
	segments, _ := filepath.Glob(filepath.Join(data, "pg_wal", "0*"))
	for _, path := range segments {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	label := fmt.Sprintf("START WAL LOCATION: %s (file %08X%08X%08X)\nCHECKPOINT LOCATION: %s\nBACKUP METHOD: streamed\nBACKUP FROM: standby\nSTART TIME: 2026-01-01 00:00:00 GMT\nLABEL: test\nSTART TIMELINE: %d\n",
		c.Redo, c.Timeline, c.Redo>>32, uint32(c.Redo)>>24, c.Checkpoint, c.Timeline)
	if err := os.WriteFile(filepath.Join(data, "backup_label"), []byte(label), 0o600); err != nil {
		t.Fatal(err)
	}
	s.psql(one, "select pg_drop_replication_slot(slot_name) from pg_replication_slots")
	for range 3 {
		s.psql(one, "select pg_logical_emit_message(true, 'a', 'b')")
		s.psql(one, "select pg_switch_wal()")
		s.psql(one, "checkpoint")
	}
	began := time.Now()
	_, _ = s.try("start", "-M", s.lab.Mcdir(two)) // which may have waited for long enough
	s.paired(one)
	t.Logf("paired again after %s", time.Since(began))
	if told := s.mcctl("events", "-M", s.lab.Mcdir(two)); !strings.Contains(told, "319") {
		t.Errorf("it came back another way:\n%s", told)
	}
}
