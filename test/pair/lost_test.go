package pair

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/lost"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// amend adds lines to pair.toml on both servers and waits until they are in force. The
// lab's file ends with [timings].
func (s *stage) amend(lines string) {
	s.Helper()
	for _, of := range []pair.Server{one, two} {
		path := filepath.Join(s.lab.Mcdir(of), "pair.toml")
		b, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, lines...), 0o600); err != nil {
			s.Fatal(err)
		}
		for began := time.Now(); !strings.Contains(s.mcctl("events", "-M", s.lab.Mcdir(of)), "the configuration was read again"); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > patience {
				s.Fatalf("%s has not read its configuration again", of)
			}
		}
	}
}

// stuckCommits has clients write to table t on server1 while its log does not leave it,
// and returns the transactions that wait. Nobody was told that they were committed.
func (s *stage) stuckCommits(n int) (xids []string) {
	s.Helper()
	s.sql(one, "create table if not exists t (i int)")
	s.freezeSender()
	for i := range n {
		s.beginWrite(one, fmt.Sprintf("insert into t values (%d)", i))
	}
	return s.waiting(n)
}

// freezeSender keeps the log on server1; a frozen receiver would find it in its socket
// later. Not while it holds a lock, or no backend could stop to wait either.
func (s *stage) freezeSender() {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		pid := s.lab.Pids().Servers[one].Walsender
		signal(s.T, syscall.SIGSTOP, pid)
		if doing := s.ask(one, fmt.Sprintf("select coalesce(max(wait_event), '') from pg_stat_activity where pid = %d", pid)); doing == "WalSenderMain" || doing == "WalSenderWaitForWAL" {
			return
		}
		signal(s.T, syscall.SIGCONT, pid)
	}
	s.Fatal("the sender of server1 never rests")
}

// waiting are the transactions of the clients that wait for the standby.
func (s *stage) waiting(n int) (xids []string) {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		text := s.ask(one, "select coalesce(string_agg(backend_xid::text, ' '), '') from pg_stat_activity where wait_event = 'SyncRep'")
		if xids = strings.Fields(text); len(xids) == n {
			slices.Sort(xids)
			return xids
		}
	}
	s.Fatalf("%d commits shall wait, but these do: %q", n, xids)
	return nil
}

// beginWrite runs a statement in a session of its own, which may wait for ever.
func (s *stage) beginWrite(of pair.Server, statement string) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := s.connect(ctx, of)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { // until then it stays open: a connection that nobody holds is closed
		cancel()
		_ = c.Close(context.Background())
	})
	go func() { _, _ = c.Exec(ctx, statement) }()
}

// reports are all that a server has of what it discarded.
func (s *stage) reports(of pair.Server) []lost.Report {
	s.Helper()
	all, err := lost.Store{Dir: filepath.Join(s.lab.Mcdir(of), "lost")}.List()
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// theReport is the one that there must be, as the command tells it.
func (s *stage) theReport(of pair.Server) (r lost.Report) {
	s.Helper()
	if all := s.reports(of); len(all) != 1 {
		s.Fatalf("%d reports: %+v", len(all), all)
	}
	if err := json.Unmarshal([]byte(s.mcctl("events", "show", "-o", "json", "-M", s.lab.Mcdir(of))), &r); err != nil {
		s.Fatal(err)
	}
	return r
}

func listed(r lost.Report) (xids []string) {
	for _, t := range r.List {
		xids = append(xids, strconv.Itoa(int(t.XID)))
	}
	slices.Sort(xids)
	return xids
}

// wroteTo has every transaction of the report write to table t and to nothing else.
func wroteTo(t *testing.T, r lost.Report, want string) {
	t.Helper()
	for _, one := range r.List {
		if len(one.Relations) != 1 || one.Relations[0].Name != want {
			t.Errorf("transaction %d wrote to %v, want %s", one.XID, one.Relations, want)
		}
		if one.Committed.IsZero() || one.LSN < r.From || one.LSN > r.Until {
			t.Errorf("transaction %d: %+v, in a tail from %s to %s", one.XID, one, r.From, r.Until)
		}
	}
}

// Needs pg_waldump.
func TestAFailoverNamesTheCommitsThatNobodyWasToldOf(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.amend("commit_stall_max = \"1m\"\n")
	stuck := s.stuckCommits(5)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Postmaster, p.Walsender)
	s.paired(two)
	r := s.theReport(one)
	if !slices.Equal(listed(r), stuck) || r.Transactions != 5 || !r.Complete || r.Acknowledged != lost.Never {
		t.Errorf("stuck were %q, the report has %+v", stuck, r)
	}
	wroteTo(t, r, "postgres.public.t")
	if left := s.ask(two, "select count(*)::text from t"); left != "0" {
		t.Errorf("%s rows are on server2", left)
	}
	s.savedLogHas(r, stuck)
	text := s.mcctl("events", "show", r.ID, "-M", s.lab.Mcdir(one))
	for _, said := range []string{"5 transactions of server1 discarded", "never acknowledged", "pg_waldump --path=", "postgres.public.t", stuck[0]} {
		if !strings.Contains(text, said) {
			t.Errorf("the text does not say %q:\n%s", said, text)
		}
	}
	s.discardIsTold(r)
}

// savedLogHas runs the command that the report gives.
func (s *stage) savedLogHas(r lost.Report, xids []string) {
	s.Helper()
	out, _ := exec.Command("sh", "-c", r.Commands[0]).Output() // the end of log is an error to it
	for _, xid := range xids {
		if !strings.Contains(string(out), fmt.Sprintf("tx: %10s", xid)) || !strings.Contains(string(out), "COMMIT") {
			s.Errorf("%s does not show transaction %s:\n%.2000s", r.Commands[0], xid, out)
		}
	}
}

// discardIsTold: by the journal there, by status on both servers, until it was seen.
func (s *stage) discardIsTold(r lost.Report) {
	s.Helper()
	if n := strings.Count(s.mcctl("events", "-n", "1000", "-M", s.lab.Mcdir(one)), "mcctl events show "+r.ID); n != 1 {
		s.Errorf("the journal tells it %d times", n)
	}
	for _, of := range []pair.Server{one, two} {
		s.until("status tells of it", of, func(st wire.Status) bool { return strings.Contains(st.Servers[0].Discarded, r.ID) })
		if out := s.mcctl("status", "-M", s.lab.Mcdir(of)); !strings.Contains(out, r.ID) {
			s.Errorf("the text of status on %s does not tell of it:\n%s", of, out)
		}
	}
	out := s.page("docs/lost.md", "mcctl events show", "", "/etc/mcctl/orders", s.lab.Mcdir(one), " ID ", " "+r.ID+" ")
	if n := strings.Count(out, "transactions of server1 discarded"); n < 2 {
		s.Errorf("the block of the page shows the report %d times:\n%s", n, out)
	}
	s.until("status no longer tells of it", one, func(st wire.Status) bool { return st.Servers[0].Discarded == "" })
	s.until("nor does the other one's", two, func(st wire.Status) bool { return st.Servers[0].Discarded == "" })
}

// Needs pg_waldump.
func TestAForcedSwitchNamesWhatMayHaveBeenAcknowledged(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.sql(one, "create table t (i int)")
	s.mcctl("stop", "-M", s.lab.Mcdir(two))
	var told []string
	for i := range 3 {
		told = append(told, s.ask(one, fmt.Sprintf("with w as (insert into t values (%d) returning i) select pg_current_xact_id()::text from w", i)))
	}
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.mcctl("switch", "--force", "--yes", "-M", s.lab.Mcdir(two))
	s.sql(two, "insert into t values (9)")
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(two)
	r := s.theReport(one)
	for _, xid := range told {
		if !slices.Contains(listed(r), xid) {
			t.Errorf("acknowledged transaction %s is not in the report: %+v", xid, r)
		}
	}
	if r.Acknowledged != lost.Maybe || !strings.Contains(r.Why, "by force") || !r.Complete {
		t.Errorf("the report says %q, because %q", r.Acknowledged, r.Why)
	}
	if text := s.mcctl("events", "show", "-M", s.lab.Mcdir(one)); !strings.Contains(text, "may have been acknowledged") || !strings.Contains(text, "postgres.public.t") {
		t.Errorf("the text:\n%s", text)
	}
}

func TestNothingDiscardedIsNoReport(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.sql(one, "create table t (i int)", "insert into t values (1)")
	s.kill(s.lab.Pids().Servers[one].Postmaster) // comes back by a rewind
	s.paired(two)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(one)
	for _, of := range []pair.Server{one, two} {
		if all := s.reports(of); len(all) != 0 {
			t.Errorf("%s reports %+v", of, all)
		}
	}
	out, err := s.try("events", "show", "-M", s.lab.Mcdir(one))
	if err == nil || !strings.Contains(out, "nothing was ever discarded") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := s.try("events", "show", "20260101-000000-1-0_1000000", "-M", s.lab.Mcdir(one)); err == nil || !strings.Contains(out, "there is no such report") || !strings.Contains(out, "lie on the server") {
		t.Errorf("an id that is none: %v, %s", err, out)
	}
}

// Needs pg_waldump.
func TestWithoutWaldumpTheLogIsSavedUnread(t *testing.T) {
	s := newQuietStage(t, lab.Options{BinDir: binWithout(t, "pg_waldump")})
	s.amend("commit_stall_max = \"1m\"\n")
	stuck := s.stuckCommits(2)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Postmaster, p.Walsender)
	s.paired(two)
	r := s.theReport(one)
	if r.Known || !strings.Contains(r.Note, "no pg_waldump") || len(r.Segments) == 0 || r.Acknowledged != lost.Never {
		t.Errorf("the report has %+v", r)
	}
	r.Commands[0] = strings.Replace(r.Commands[0], s.lab.BinDir(), os.Getenv("PG_BIN"), 1)
	s.savedLogHas(r, stuck)
}

// Needs pg_waldump.
func TestLogThatMayNotBeSavedIsReportedOrWaitedFor(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.amend("commit_stall_max = \"1m\"\n\n[policy]\nlost_wal = \"require\"\nlost_wal_max = \"1kB\"\n")
	stuck := s.stuckCommits(2)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Postmaster, p.Walsender)
	s.until("server1 waits for an operator", one, func(st wire.Status) bool { return strings.Contains(st.Servers[0].Problem, "policy.lost_wal") })
	if all := s.reports(one); len(all) != 0 {
		t.Errorf("there is a report already: %+v", all)
	}
	path := filepath.Join(s.lab.Mcdir(one), "pair.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), `"require"`, `"save"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.paired(two)
	r := s.theReport(one)
	if !slices.Equal(listed(r), stuck) || len(r.Segments) != 0 || !strings.Contains(r.NotSaved, "policy.lost_wal_max") {
		t.Errorf("the report has %+v", r)
	}
}

// Killed wherever it is, the supervisor makes one whole report in the end.
//
// Needs pg_waldump.
func TestKilledWhileItReportsTheSupervisorMakesOneReport(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.amend("commit_stall_max = \"1m\"\n")
	stuck := s.stuckCommits(4)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Postmaster, p.Walsender)
	dir := filepath.Join(s.lab.Mcdir(one), "lost")
	for _, moment := range []string{"*", "*.part/0*", "*/report.txt", "*/report.json"} {
		for began := time.Now(); time.Since(began) < 5*time.Second; { // it may be over too soon to be seen
			if found, _ := filepath.Glob(filepath.Join(dir, moment)); len(found) > 0 {
				break
			}
		}
		if pid := s.lab.Pids().Servers[one].Supervisor; pid != 0 { // the last one may be ending still
			signal(t, syscall.SIGKILL, pid)
		}
	}
	s.paired(two)
	if r := s.theReport(one); !slices.Equal(listed(r), stuck) || !r.Complete {
		t.Errorf("stuck were %q, the report has %+v", stuck, r)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("there is still %q", left)
	}
}
