package pair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Under load the last checkpoint lies many segments back, and so does its beginning. Nobody
// keeps log but for the slots: the old primary is rewound all the same, and streams.
func TestRewindFromFarBack(t *testing.T) {
	for name, fails := range map[string]func(*stage){
		"killed": func(s *stage) { s.kill(s.lab.Pids().Servers[one].Postmaster) },
		"frozen": func(s *stage) {
			frozen := freeze(s.T, s.lab.Pids().Servers[one])
			s.until("server2 took over", two, func(st wire.Status) bool {
				return st.Record.Primary == two && st.Servers[1].Postgres == wire.ReportOpen
			})
			thaw(s.T, frozen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, lab.Options{Profile: "tight", Settings: map[string]string{"wal_keep_size": "0", "max_wal_size": "96MB", "min_wal_size": "32MB"}})
			s.checkpointFarBack(one)
			fails(s)
			s.paired(two)
			told, err := os.ReadFile(filepath.Join(s.lab.Mcdir(one), "log", "mcctl.log"))
			if err != nil || strings.Contains(string(told), "msg=rebuilding") {
				t.Errorf("it did not come back by a rewind: %v\n%s", err, told)
			}
		})
	}
}

// checkpointFarBack writes until the last checkpoint took two segments and is two back.
func (s *stage) checkpointFarBack(of pair.Server) {
	s.Helper()
	const far = 32 << 20
	write := "select count(pg_logical_emit_message(true, 'a', repeat('b', 1000000))) from generate_series(1, 6)"
	s.psql(of, "create table wide as select n, repeat('x', 1000) as filler from generate_series(1, 400) n")
	for began := time.Now(); time.Since(began) < patience; {
		s.psql(of, "update wide set n = n + 1")
		s.psql(of, write)
		if c, err := (&postgres.Instance{Data: s.lab.Data(of)}).Control(); err == nil && c.Checkpoint-c.Redo > far {
			for range far / 6 >> 20 {
				s.psql(of, write)
			}
			return
		}
	}
	s.Fatal("no checkpoint took so long")
}
