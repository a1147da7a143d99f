package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A switch hands over when Shut has returned: then no session may be left, and what
// pg_control says must be the last word, although the postmaster is still there.
func TestFactNothingIsWrittenAfterTheShutdownCheckpoint(t *testing.T) {
	primary, standby := newPair(t)
	for round := range 5 {
		pid, running := primary.Postmaster()
		if !running {
			t.Fatal("the primary does not run")
		}
		conn := client(t, primary)
		_, err := conn.Exec(within(t), "insert into t select generate_series(1, 1000)")
		ok(t, err)
		ok(t, primary.Shut(within(t), pid))
		shut, err := primary.Control()
		ok(t, err)
		_, still := primary.Postmaster()
		if err := conn.Ping(within(t)); err == nil {
			t.Error("a session is left")
		}
		if err := primary.Knock(within(t)); err == nil {
			t.Error("a new session was let in")
		}
		watch := connect(t, standby)
		eventually(t, "the standby has the last record", func() bool {
			look, err := watch.Look(within(t), "")
			ok(t, err)
			return look.Replayed > shut.Checkpoint
		})
		ok(t, primary.Stop(within(t), pid, Fast))
		if after, err := primary.Control(); err != nil || after != shut || !shut.State.CleanPrimary() {
			t.Errorf("round %d: shut with %+v, after the end %+v, %v", round, shut, after, err)
		}
		t.Logf("round %d: the postmaster was there when Shut returned: %t", round, still)
		start(t, primary)
	}
}

func TestShutIsBoundedAndKnowsAServerThatHasGone(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := in.Shut(ctx, pid); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without time: %v", err)
	}
	ok(t, in.Stop(within(t), pid, Fast))
	ok(t, in.Shut(within(t), pid))
}

// Before a start has come to its end pg_control still tells of the clean end of the
// run before: that is not the end of this one. Whenever Shut comes, what pg_control
// says then is final.
func TestShutOfAServerThatIsStarting(t *testing.T) {
	in := newServer(t)
	ok(t, in.Stop(within(t), start(t, in), Fast))
	for round := range 6 {
		var pid int
		eventually(t, "it starts", func() bool {
			var err error
			pid, err = in.Start(StartOptions{})
			return err == nil
		})
		eventually(t, "it shows", func() bool { _, running := in.Postmaster(); return running })
		time.Sleep(time.Duration(round) * 10 * time.Millisecond)
		ok(t, in.Shut(within(t), pid))
		shut, err := in.Control()
		ok(t, err)
		ok(t, in.Stop(within(t), pid, Fast))
		if after, err := in.Control(); err != nil || after != shut || !shut.State.CleanPrimary() {
			t.Errorf("round %d: shut with %+v, after the end %+v, %v", round, shut, after, err)
		}
	}
}

// frozenReceiver is one that has received and confirms nothing more, of a server that runs.
func frozenReceiver(t *testing.T, in *Instance) *os.Process {
	t.Helper()
	receiver := exec.Command(filepath.Join(bin(), "pg_receivewal"), "-D", newDir(t), "-d", sourceOf(in, "r").Conninfo())
	ok(t, receiver.Start())
	t.Cleanup(func() { _ = receiver.Process.Kill(); _ = receiver.Wait() })
	conn := client(t, in)
	eventually(t, "it receives", func() bool {
		var n int
		ok(t, conn.QueryRow(within(t), "select count(*) from pg_stat_replication where state = 'streaming'").Scan(&n))
		return n == 1
	})
	ok(t, receiver.Process.Signal(syscall.SIGSTOP))
	return receiver.Process
}

// Who receives and does not confirm holds up the end of a server that has shut down.
func TestFactAServerLingersForAFrozenReceiver(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	receiver := frozenReceiver(t, in)
	if in.Lingers(pid) {
		t.Error("a server that runs is taken for one that lingers")
	}
	ok(t, in.Shut(within(t), pid))
	for began := time.Now(); time.Since(began) < time.Second; time.Sleep(20 * time.Millisecond) {
		if !in.Lingers(pid) {
			t.Fatal("it does not linger")
		}
	}
	ok(t, receiver.Kill())
	eventually(t, "it has ended", func() bool { _, running := in.Postmaster(); return !running })
	if in.Lingers(pid) {
		t.Error("it lingers after its end")
	}
}

// Its walsender shows what it has sent, and ends by SIGTERM also then; the server comes to
// its clean end.
func TestFactAServerThatLingersEndsWithItsSender(t *testing.T) {
	in := newServer(t)
	pid := start(t, in)
	frozenReceiver(t, in)
	ok(t, in.Shut(within(t), pid))
	eventually(t, "it lingers", func() bool { return in.Lingers(pid) })
	senders := in.Senders(pid)
	if len(senders) != 1 {
		t.Fatalf("its walsenders are %v", senders)
	}
	for sender, shown := range senders {
		if !strings.Contains(shown, "streaming ") || strings.Contains(shown, "\x00") {
			t.Errorf("it shows %q", shown)
		}
		ok(t, in.EndSender(sender))
	}
	eventually(t, "it has ended", func() bool { _, running := in.Postmaster(); return !running })
	if c, err := in.Control(); err != nil || c.State != ShutDown {
		t.Errorf("it ended as %+v, %v", c.State, err)
	}
}

// fillSegment writes until the present segment is filled to between two shares of it.
func fillSegment(t *testing.T, in *Instance, from, to float64) {
	t.Helper()
	const used = "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') % pg_size_bytes(current_setting('wal_segment_size')) / pg_size_bytes(current_setting('wal_segment_size'))"
	conn := client(t, in)
	eventually(t, "the segment is as full as that", func() bool {
		var share float64
		ok(t, conn.QueryRow(within(t), "select ("+used+")::float8").Scan(&share))
		if share >= from && share < to {
			return true
		}
		_, err := conn.Exec(within(t), "select pg_logical_emit_message(false, 'fill', repeat('x', 20000))")
		ok(t, err)
		return false
	})
}

func TestEndSegment(t *testing.T) {
	in := newServer(t)
	start(t, in)
	s := connect(t, in)
	fillSegment(t, in, 0.2, 0.5)
	if ended, err := s.EndSegment(within(t)); err != nil || ended {
		t.Errorf("in the first half of a segment: %t, %v", ended, err)
	}
	fillSegment(t, in, 0.72, 0.95)
	if ended, err := s.EndSegment(within(t)); err != nil || !ended {
		t.Errorf("near the end of a segment: %t, %v", ended, err)
	}
	if ended, err := s.EndSegment(within(t)); err != nil || ended {
		t.Errorf("again: %t, %v", ended, err)
	}
}

// The reason for EndSegment: where a standby is promoted in the last quarter of a
// segment, PostgreSQL makes the next one of the new timeline in the middle of it.
func TestFactPromotionMakesTheNextSegmentInTheLastQuarter(t *testing.T) {
	const segment = 1 << 20 // see TestMain
	for _, c := range []struct {
		from, to float64
		made     bool
	}{{0.1, 0.6, false}, {0.8, 0.95, true}} {
		primary, standby := newPair(t)
		fillSegment(t, primary, c.from, c.to)
		pid, _ := primary.Postmaster()
		ok(t, primary.Shut(within(t), pid))
		shut, err := primary.Control()
		ok(t, err)
		watch := connect(t, standby)
		eventually(t, "the standby has the last record", func() bool {
			look, err := watch.Look(within(t), "")
			ok(t, err)
			return look.Replayed > shut.Checkpoint
		})
		ok(t, primary.Stop(within(t), pid, Fast))
		promote(t, standby)
		next := fmt.Sprintf("%08X%08X%08X", 2, uint64(shut.Checkpoint)>>32, uint32(shut.Checkpoint)/segment+1)
		_, err = os.Stat(filepath.Join(standby.Data, "pg_wal", next))
		if made := err == nil; made != c.made {
			files, _ := filepath.Glob(filepath.Join(standby.Data, "pg_wal", "0*"))
			t.Errorf("promoted at %s: %s was made %t, want %t; there are %s", shut.Checkpoint, next, made, c.made, strings.Join(files, " "))
		}
	}
}

// A postmaster that is ending has no program any more but still holds its port and
// memory: a start right after it must neither take it for running nor fail.
func TestStartRightAfterAnEnd(t *testing.T) {
	in := newServer(t)
	for round := range 12 {
		pid := start(t, in)
		sig := syscall.SIGINT
		if round%2 == 1 {
			sig = syscall.SIGKILL
		}
		ok(t, in.signal(pid, sig))
		ok(t, in.waitExit(within(t), pid))
	}
}
