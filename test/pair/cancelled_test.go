package pair

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// waitEvents are the events of commits that returned while they waited, by number.
func (s *stage) waitEvents(of pair.Server) map[string]bool {
	s.Helper()
	found := map[string]bool{} // xid: its session has ended
	for line := range strings.Lines(s.mcctl("events", "-n", "10000", "-o", "json", "-M", s.lab.Mcdir(of))) {
		var e struct {
			Action string
			Wait   struct {
				XID   uint32
				PID   int
				User  string
				Ended bool
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.Fatalf("%v: %s", err, line)
		}
		if e.Action != "cancelled-wait" {
			continue
		}
		if e.Wait.User != "postgres" || e.Wait.PID == 0 {
			s.Errorf("who was it: %s", line)
		}
		found[fmt.Sprint(e.Wait.XID)] = e.Wait.Ended
	}
	return found
}

// endWait calls a function of PostgreSQL on the backend of a transaction that waits.
func (s *stage) endWait(function, xid string) {
	s.Helper()
	if said := s.ask(one, fmt.Sprintf("select %s(pid)::text from pg_stat_activity where backend_xid::text = '%s'", function, xid)); said != "true" {
		s.Fatalf("%s of %s: %s", function, xid, said)
	}
}

func cancelledWaits(n int) func(wire.Status) bool {
	return func(st wire.Status) bool { return st.CancelledWaits == n }
}

// PostgreSQL lets a commit return that was cancelled, or whose session was terminated,
// while it waited. It is visible on the primary, and on the standby it is not.
//
// Needs pg_waldump.
func TestCommitsThatReturnWhileTheyWaitAreCounted(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.amend("commit_stall_max = \"1m\"\n")
	stuck := s.stuckCommits(5)
	s.until("the supervisor sees them", one, func(st wire.Status) bool { return st.SyncWaiters == 5 })
	worst := s.stallIsTold()
	s.endWait("pg_cancel_backend", stuck[0])
	s.endWait("pg_cancel_backend", stuck[1])
	s.endWait("pg_terminate_backend", stuck[2])
	s.until("three are counted", one, cancelledWaits(3))
	if here := s.ask(one, "select count(*)::text from t"); here != "3" {
		t.Errorf("%s rows are visible on the primary", here)
	}
	signal(t, syscall.SIGCONT, s.lab.Pids().Servers[one].Walsender)
	s.waiting(0)
	s.paired(one)
	s.until("the stall is over and not forgotten", one, func(st wire.Status) bool {
		return st.SyncWaiters == 0 && st.StallMS == 0 && st.WorstStallMS >= worst
	})
	time.Sleep(3 * time.Second) // two looks and the time after which suspects are judged
	s.until("the other two were not counted", one, cancelledWaits(3))
	events := s.waitEvents(one)
	for i, xid := range stuck {
		if ended, told := events[xid]; told != (i < 3) || ended != (i == 2) {
			t.Errorf("transaction %d, %s: told %v, ended %v", i, xid, told, ended)
		}
	}
	if out := s.mcctl("status", "-M", s.lab.Mcdir(one)); !strings.Contains(out, "3 returned before the standby had them") {
		t.Errorf("the text of status:\n%s", out)
	}
}

// stallIsTold: status tells how long the five commits have waited by now, and how long the
// longest wait was.
func (s *stage) stallIsTold() (worst float64) {
	s.Helper()
	early := s.until("the stall is told", one, func(st wire.Status) bool { return st.StallMS > 100 })
	late := s.until("it grows", one, func(st wire.Status) bool { return st.StallMS >= early.StallMS+100 && st.WorstStallMS > early.StallMS })
	if late.SyncWaiters != 5 {
		s.Errorf("%d wait", late.SyncWaiters)
	}
	const lsn = "[0-9A-F]+/[0-9A-F]+"
	text := s.mcctl("status", "-M", s.lab.Mcdir(one))
	for _, want := range []string{
		`commits +5 waiting for the standby for \d+ ms; longest wait seen \d+ ms`,
		`to server2: streaming, sync; sent ` + lsn + `, write ` + lsn + `, flush ` + lsn + `, replay ` + lsn + `\n +lag sent [1-9]`,
		`server2 +streaming; primary's end ` + lsn + `; flushed ` + lsn + `, replayed ` + lsn + ` \(.* to replay\)\n +newest replayed commit \d+ s old`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			s.Errorf("want %s in the text of status:\n%s", want, text)
		}
	}
	return late.WorstStallMS
}

// T1 lets waiting commits go: the record says alone, and nothing was promised that does
// not hold.
func TestWhatADetachLetsGoIsNotCounted(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.stuckCommits(5)
	s.until("the stall ends in a detach", one, func(st wire.Status) bool { return st.Record.Mode == pair.Alone && st.SyncWaiters == 0 })
	time.Sleep(3 * time.Second)
	if st, err := s.status(one); err != nil || st.CancelledWaits != 0 {
		t.Errorf("counted %d, %v", st.CancelledWaits, err)
	}
	signal(t, syscall.SIGCONT, s.lab.Pids().Servers[one].Walsender)
	s.paired(one)
}

// Clients write and vanish, the standby's receiver stands still for a moment, or ends and
// comes back: every commit has its answer from the standby, and none is counted.
func TestNoCommitIsCountedThatHadItsAnswer(t *testing.T) {
	s := newQuietStage(t, lab.Options{}) // a writer of the stage gives up after a second, see write
	s.sql(one, "create table t (i int, x text)")
	ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
	defer cancel()
	var done atomic.Int64
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			for ctx.Err() == nil {
				done.Add(int64(s.writeAndVanish(ctx)))
			}
		})
	}
	for i := 1; ctx.Err() == nil; i++ {
		time.Sleep(time.Second)
		pid := s.lab.Pids().Servers[two].Walreceiver
		switch {
		case pid == 0:
		case i%5 == 0:
			signal(t, syscall.SIGTERM, pid)
		default: // for more than two looks, and less than a stall
			signal(t, syscall.SIGSTOP, pid)
			time.Sleep(700 * time.Millisecond)
			signal(t, syscall.SIGCONT, pid)
		}
	}
	clients.Wait()
	st := s.paired(one)
	if done.Load() < 100 || st.CancelledWaits != 0 || st.Record.Term != 1 {
		t.Errorf("%d commits, %d of them counted; %s", done.Load(), st.CancelledWaits, st.Record)
	}
	t.Logf("%d commits", done.Load())
	if events := s.waitEvents(one); len(events) != 0 {
		t.Errorf("events: %v", events)
	}
}

// writeAndVanish commits a few times and breaks its connection off in the middle of one.
func (s *stage) writeAndVanish(ctx context.Context) (done int) {
	c, err := s.connect(ctx, one)
	if err != nil {
		time.Sleep(50 * time.Millisecond)
		return 0
	}
	for range 5 + rand.IntN(30) {
		if _, err := c.Exec(context.WithoutCancel(ctx), "insert into t select g, repeat('x', 500) from generate_series(1, 40) g"); err != nil {
			break
		}
		done++
	}
	if _, err := c.PgConn().Conn().Write([]byte("Q\x00\x00\x00\x24insert into t values (1, 'end')\x00")); err == nil {
		_ = c.PgConn().Conn().Close()
	}
	return done
}

// A standby that is behind all the time, but advances: commits get their answers long
// before it has all that was written when they were seen waiting. Only where their own
// record is tells that they had it.
func TestCommitsOnALaggingStandbyAreNotCounted(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.amend("commit_stall_max = \"1m\"\n")
	s.sql(one, "create table t (i int, x text)")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	var clients sync.WaitGroup
	var done atomic.Int64
	clients.Go(func() { // log without waiting
		for ctx.Err() == nil {
			_ = s.write(ctx, "set synchronous_commit = local; insert into t select g, repeat('x', 1000) from generate_series(1, 2000) g")
		}
	})
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if s.write(ctx, "insert into t values (1, 'x')") == nil {
					done.Add(1)
				}
			}
		})
	}
	lagging := 0
	for ctx.Err() == nil && (time.Since(began) < 15*time.Second || lagging < 3 || done.Load() < 10) {
		receiver := s.lab.Pids().Servers[two].Walreceiver
		if receiver == 0 {
			continue
		}
		signal(t, syscall.SIGSTOP, receiver)
		time.Sleep(100 * time.Millisecond)
		signal(t, syscall.SIGCONT, receiver)
		time.Sleep(3 * time.Millisecond)
		if st, err := s.status(one); err == nil && st.Servers[1].LagBytes > 1<<20 {
			lagging++
		}
	}
	cancel()
	clients.Wait()
	s.paired(one)
	time.Sleep(2 * time.Second)
	st := s.paired(one)
	if done.Load() < 10 || lagging < 3 || st.CancelledWaits != 0 {
		t.Errorf("%d commits, behind %d times, %d counted", done.Load(), lagging, st.CancelledWaits)
	}
	t.Logf("%d commits, behind %d times", done.Load(), lagging)
}

// write runs a statement in a session of its own, to its end: a client that gives up
// has PostgreSQL cancel it, and then it is counted with good reason.
func (s *stage) write(ctx context.Context, statement string) error {
	c, err := s.connect(ctx, one)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	_, err = c.Exec(context.WithoutCancel(ctx), statement)
	return err
}
