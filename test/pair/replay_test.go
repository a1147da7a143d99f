package pair

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// holdReplay begins a query on server2 that is in the way of its replay, and ends it
// after a while. It may last for 30 s (max_standby_streaming_delay).
func (s *stage) holdReplay(d time.Duration) {
	s.Helper()
	s.sql(one, "create table held (i int)", "insert into held values (1)")
	s.eventually("server2 has applied the row", func() bool {
		n, err := s.query(two, "select count(*)::text from held")
		return err == nil && n == "1"
	})
	reader, err := s.connect(s.Context(), two)
	if err != nil {
		s.Fatal(err)
	}
	for _, statement := range []string{"begin isolation level repeatable read", "select count(*) from held"} {
		if _, err := reader.Exec(s.Context(), statement); err != nil {
			s.Fatal(err)
		}
	}
	s.sql(one, "delete from held")
	s.eventually("replay waits for the reader", func() bool {
		s.sql(one, "vacuum held") // again, if a client's snapshot still held the row
		return s.ask(two, "select count(*)::text from pg_stat_activity where backend_type = 'startup' and wait_event like 'RecoveryConflict%'") == "1"
	})
	time.AfterFunc(d, func() { _ = reader.Close(context.Background()) })
}

// What the standby has yet to replay it replays before it opens. A switch waits for that
// as long as clients are at work.
func TestASwitchWaitsForReplayBeforeItCloses(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.holdReplay(6 * time.Second)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.flowing()
	var job wire.Job
	if err := json.Unmarshal([]byte(s.mcctl("switch", "--status", "-o", "json", "-M", s.lab.Mcdir(one))), &job); err != nil {
		t.Fatal(err)
	}
	at := map[string]float64{}
	for _, step := range job.Steps {
		at[step.Phase] = step.AtMS
	}
	// Some five seconds and then a moment, or the other way round.
	if at["closing"] < 2000 || at["done"]-at["closing"] > at["closing"] {
		t.Errorf("clients waited: %+v", job.Steps)
	}
	s.paired(two)
}

// A standby whose replay is behind holds what it has flushed, and is attached.
func TestAStandbyThatIsBehindWithItsReplayIsAttached(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.holdReplay(20 * time.Second)
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	began := time.Now()
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("that took %s: it has waited for replay", took)
	}
}

// A server that takes over ends the readers that are in the way of its replay, which
// PostgreSQL would wait for: for ever, as configured here.
func TestATakeOverDoesNotWaitForReaders(t *testing.T) {
	s := newStage(t, lab.Options{Settings: map[string]string{"max_standby_streaming_delay": "-1"}})
	s.holdReplay(patience)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Supervisor, p.Postmaster)
	s.promised(time.Second, "server2 is open", two, func(st wire.Status) bool {
		return st.Record.Primary == two && reports(st, two, wire.ReportOpen)
	})
	s.flowing()
	if told := s.mcctl("events", "-M", s.lab.Mcdir(two)); !strings.Contains(told, "ended sessions that replay waited for") { // a writer that looks here for the primary may be among them
		t.Errorf("it does not say what it has ended:\n%s", told)
	}
	s.paired(two)
}
