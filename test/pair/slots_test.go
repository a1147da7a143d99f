package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/majors"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

const (
	slotsLine = "synchronized_standby_slots = 'mcctl_server2'"
	peek      = "select coalesce(string_agg(data, '; '), '') from pg_logical_slot_peek_changes('sub', null, null) where data like '%told%'"
	consume   = "select count(*)::text from pg_logical_slot_get_changes('sub', null, null)"
	waiting   = "select count(*)::text from pg_stat_activity where wait_event = 'WaitForStandbyConfirmation'"
)

// The line is there whenever commits wait, and not while the primary is alone. An
// older server would not even start with it.
func TestSynchronizedStandbySlotsGoWithTheNames(t *testing.T) {
	s := newStage(t, lab.Options{})
	if !majors.Of(s.major()).SyncSlots {
		for _, of := range []pair.Server{one, two} {
			if strings.Contains(s.conf(of), "synchronized_standby_slots") {
				t.Errorf("postgresql.conf of %s speaks of synchronized_standby_slots, which PostgreSQL %d does not know", of, s.major())
			}
		}
		return
	}
	s.hasLine(one, slotsLine)
	s.hasLine(two, "synchronized_standby_slots = 'mcctl_server1'")
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	s.hasLine(one, "#"+slotsLine)
	s.mcctl("attach", "-M", s.lab.Mcdir(one))
	s.paired(one)
	s.hasLine(one, slotsLine)
}

// A subscriber must not get what the standby lacks: after a failover it would be ahead
// of the new primary. And it must not wait for a standby that the primary has left.
// Before 17 PostgreSQL cannot hold it back.
func TestLogicalSlotsDoNotRunAheadOfTheStandby(t *testing.T) {
	s := newStage(t, lab.Options{Settings: map[string]string{"wal_level": "logical"}})
	able := majors.Of(s.major()).SyncSlots
	s.sql(one, "create table told (n int)")
	if able {
		s.sql(one, "select pg_create_logical_replication_slot('sub', 'test_decoding', false, false, true)")
	} else {
		s.sql(one, "select pg_create_logical_replication_slot('sub', 'test_decoding')")
	}
	s.sql(one, "insert into told values (1)")
	if got := s.ask(one, peek); !strings.Contains(got, "n[integer]:1") {
		t.Fatalf("the slot tells %q", got)
	}
	s.ask(one, consume)

	receiver := s.receiver()
	t.Cleanup(func() { _ = syscall.Kill(receiver, syscall.SIGCONT) })
	signal(t, syscall.SIGSTOP, receiver)
	s.sql(one, "set synchronous_commit = local", "insert into told values (2)")
	if able {
		s.heldBack()
	}
	if got := s.ask(one, peek); !strings.Contains(got, "n[integer]:2") {
		t.Errorf("the slot tells %q", got)
	}
	signal(t, syscall.SIGCONT, receiver)
	s.paired(one)
	if able {
		s.hasLine(one, slotsLine)
		s.slotFollows()
	}
}

// heldBack sees a decoder wait for the standby, as long as the line is there.
func (s *stage) heldBack() {
	s.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := s.query(one, peek)
		ended <- err
	}()
	seen := false
	for {
		select {
		case err := <-ended:
			switch {
			case err != nil:
				s.Fatal(err)
			case strings.Contains("\n"+s.conf(one), "\n"+slotsLine):
				s.Fatal("the slot told what the standby lacks")
			case !seen:
				s.Error("the decoder was never seen to wait for the standby")
			}
			return
		case <-time.After(5 * time.Millisecond):
			seen = seen || s.ask(one, waiting) != "0"
		}
	}
}

// slotFollows switches, and what the subscriber was not told yet is told by the new
// primary: PostgreSQL's own worker has copied the slot.
func (s *stage) slotFollows() {
	s.Helper()
	for _, of := range []pair.Server{one, two} {
		s.sql(of, "alter system set sync_replication_slots = on", "alter system set hot_standby_feedback = on", "select pg_reload_conf()")
	}
	s.sql(one, "insert into told values (3)")
	s.eventually("the slot is on server2 for good", func() bool {
		s.ask(one, "select count(*)::text from pg_logical_slot_get_changes('sub', null, 1)") // lets it advance
		return s.ask(two, "select coalesce(bool_and(synced and not temporary), false)::text from pg_replication_slots where slot_name = 'sub'") == "true"
	})
	s.sql(one, "insert into told values (4)")
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.until("server2 is primary", two, func(st wire.Status) bool {
		return st.Record.Primary == two && st.Servers[1].Postgres == wire.ReportOpen
	})
	if got := s.ask(two, peek); !strings.Contains(got, "n[integer]:4") {
		s.Errorf("after the switch the slot tells %q", got)
	}
	s.paired(two)
}

// major is the version of the data.
func (s *stage) major() (n int) {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.lab.Data(one), "PG_VERSION"))
	if err == nil {
		_, err = fmt.Sscan(string(b), &n)
	}
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// receiver is the process that receives log on server2.
func (s *stage) receiver() (pid int) {
	s.Helper()
	if _, err := fmt.Sscan(s.ask(two, "select pid::text from pg_stat_wal_receiver"), &pid); err != nil {
		s.Fatalf("find the walreceiver: %v", err)
	}
	return pid
}

func (s *stage) eventually(what string, holds func() bool) {
	s.Helper()
	for began := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			s.Fatalf("not within %s: %s", patience, what)
		}
	}
}
