package observe

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/postgres"
)

// observed is a stopped server with the watchers of the test running.
type observed struct {
	*testing.T
	in    *postgres.Instance
	board *board.Board
	local *Local
	// impatient is local with so short a timeout that a test can wait for it. A busy machine
	// may hold up what answers for longer.
	impatient *Local

	gated, unfinished, unfit atomic.Bool
}

func newObserved(t *testing.T) *observed {
	t.Helper()
	o := &observed{T: t, in: newServer(t), board: board.NewBoard()}
	o.local, o.impatient = o.watchers(20*time.Second), o.watchers(500*time.Millisecond)
	return o
}

func (o *observed) watchers(timeout time.Duration) *Local {
	return NewLocal(Local{
		Board: o.board, Instance: On(o.in), Peer: "server2",
		Gated: func(int) bool { return o.gated.Load() }, Unfinished: o.unfinished.Load,
		Fits:      func(board.Sight) (bool, error) { return !o.unfit.Load(), nil },
		LookEvery: 50 * time.Millisecond, KnockEvery: 20 * time.Millisecond, Timeout: timeout,
	})
}

func (o *observed) sees(what string, holds func(board.Sight) bool) {
	o.Helper()
	eventually(o.T, what, func() bool { return holds(o.board.Read()) })
}

func down(s board.Sight) bool { return s.Known && s.PID == 0 }

func TestWatchPostmasterNotesBeginAndEnd(t *testing.T) {
	o := newObserved(t)
	running(t, o.local.WatchPostmaster)
	o.sees("nothing runs, and the data was shut down in order", func(s board.Sight) bool { return down(s) && s.Control.State == postgres.ShutDown })
	o.gated.Store(true)
	pid := start(t, o.in)
	o.sees("a gated postmaster runs", func(s board.Sight) bool { return s.PID == pid && s.SeenPID > 0 && s.Gated })
	if s := o.board.Read(); s.LookAt != 0 || s.Hung {
		t.Errorf("of a new postmaster nothing else is known: %+v", s)
	}

	o.unfinished.Store(true)
	began := time.Now()
	send(t, pid, syscall.SIGKILL)
	o.sees("it was killed", down)
	t.Logf("the kill was noted after %s", time.Since(began))
	s := o.board.Read()
	if s.Control.State != postgres.InProduction || s.Gated || !s.Broken || s.Marked {
		t.Errorf("after the crash: %+v", s)
	}

	o.unfinished.Store(false)
	ok(t, o.in.MarkStandby())
	o.sees("the data was marked", func(s board.Sight) bool { return down(s) && s.Marked && !s.Broken })
	ok(t, o.in.ClearStandby())
	o.gated.Store(false)
	next := start(t, o.in)
	o.sees("another postmaster runs", func(s board.Sight) bool { return s.PID == next && !s.Gated && !s.Marked })
}

func TestNothingNewIsNoNews(t *testing.T) {
	o := newObserved(t)
	o.local.noteDown()
	if !woken(o.board) {
		t.Error("the first look is news")
	}
	o.local.noteDown()
	if woken(o.board) {
		t.Error("the second is not")
	}
}

func TestLookAroundFollowsEachPostmaster(t *testing.T) {
	o := newObserved(t)
	running(t, o.local.WatchPostmaster)
	running(t, o.local.LookAround)
	running(t, o.local.CheckSettings)
	for range 2 {
		pid := start(t, o.in)
		o.sees("the primary was looked at", func(s board.Sight) bool { return s.PID == pid && s.LookAt > 0 })
		s := o.board.Read()
		if s.Look.InRecovery || s.Look.Timeline != 1 || s.Look.Insert == 0 || s.Look.Flush == 0 || s.Look.Peer != nil {
			t.Errorf("the look is %+v", s.Look)
		}
		o.sees("it is looked at again and again", func(now board.Sight) bool { return now.LookAt > s.LookAt })
		send(t, pid, syscall.SIGKILL)
		o.sees("nothing is left of the look", func(s board.Sight) bool { return down(s) && s.LookAt == 0 && s.Look.Timeline == 0 })
	}
	o.unfit.Store(true)
	o.sees("the settings do not fit", func(s board.Sight) bool { return s.SettingsWrong })
	o.unfit.Store(false)
	o.sees("they fit again", func(s board.Sight) bool { return !s.SettingsWrong })
}

func TestAStandbyIsSeenAsOne(t *testing.T) {
	o := newObserved(t)
	ok(t, o.in.MarkStandby())
	running(t, o.local.WatchPostmaster)
	running(t, o.local.LookAround)
	o.board.Note(func(s *board.Sight) { s.Diverged = true })
	start(t, o.in)
	o.sees("it is in recovery", func(s board.Sight) bool { return s.LookAt > 0 && s.Look.InRecovery && s.Look.Replayed > 0 })
	if s := o.board.Read(); s.Look.Receiver.Status == "streaming" || s.Look.Insert != 0 {
		t.Errorf("the look is %+v", s.Look)
	}
}

func TestAKickIsALookAtOnce(t *testing.T) {
	o := newObserved(t)
	o.local.LookEvery = time.Hour
	running(t, o.local.LookAround)
	pid := start(t, o.in)
	o.board.Note(func(s *board.Sight) { s.Known, s.PID = true, pid })
	o.local.Kick()
	o.sees("a look", func(s board.Sight) bool { return s.LookAt > 0 })
	first := o.board.Read().LookAt
	o.local.Kick()
	o.sees("another one", func(s board.Sight) bool { return s.LookAt > first })
}

func TestALookAtAFormerPostmasterIsNotNoted(t *testing.T) {
	o := newObserved(t)
	pid := start(t, o.in)
	o.board.Note(func(s *board.Sight) { s.Known, s.PID = true, pid+1 })
	var session Session
	if !o.local.look(within(t), &session, pid) {
		t.Fatal("the look failed")
	}
	defer session.Close()
	if s := o.board.Read(); s.LookAt != 0 {
		t.Errorf("noted: %+v", s)
	}
}

// The session that was opened before goes on answering: only a fresh connection
// meets the frozen postmaster.
func TestKnockAroundFindsAFrozenPostmaster(t *testing.T) {
	o := newObserved(t)
	running(t, o.local.WatchPostmaster)
	running(t, o.local.LookAround)
	pid := start(t, o.in)
	o.sees("it was looked at", func(s board.Sight) bool { return s.LookAt > 0 })
	send(t, pid, syscall.SIGSTOP)
	began := time.Now()
	running(t, o.impatient.KnockAround) // only now: no knock has begun before
	o.sees("it hangs", func(s board.Sight) bool { return s.Hung })
	if after := time.Since(began); after < o.impatient.Timeout {
		t.Errorf("hung after %s, before the timeout of %s", after, o.impatient.Timeout)
	}
	last := o.board.Read().LookAt
	o.sees("the warm connection still answers", func(s board.Sight) bool { return s.LookAt > last && s.Hung })
	send(t, pid, syscall.SIGCONT)
	o.sees("it answers again", func(s board.Sight) bool { return !s.Hung })
	send(t, pid, syscall.SIGSTOP)
	o.sees("it hangs once more", func(s board.Sight) bool { return s.Hung })
	o.sees("it had come so far that it answers", func(s board.Sight) bool { return s.Serves })
	ok(t, o.in.Kill(pid))
	o.sees("what is down does not hang", func(s board.Sight) bool { return down(s) && !s.Hung && !s.Serves })
}

// As long as PostgreSQL recovers it refuses every knock: no start of one is ended for it.
func TestAServerThatRecoversDoesNotHang(t *testing.T) {
	for name, line := range map[string]string{
		"nothing read yet": "restore_command = 'sleep 20; false'\n",
		"no hot standby":   "hot_standby = off\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := newObserved(t)
			f, err := os.OpenFile(filepath.Join(o.in.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
			ok(t, err)
			defer f.Close()
			_, err = f.WriteString(line)
			ok(t, err)
			ok(t, o.in.MarkStandby())
			_, err = o.in.Start(postgres.StartOptions{})
			ok(t, err)
			running(t, o.local.WatchPostmaster)
			running(t, o.local.KnockAround)
			o.sees("it runs", func(s board.Sight) bool { return s.PID != 0 })
			pid := o.board.Read().PID
			for began := time.Now(); time.Since(began) < time.Second; time.Sleep(5 * time.Millisecond) {
				if s := o.board.Read(); s.Hung || s.PID != pid || o.in.Accepts(pid) {
					t.Fatalf("after %s it hangs %t, is up %t: %+v", time.Since(began), s.Hung, o.in.Accepts(pid), s)
				}
			}
			if !o.in.Serves(pid) {
				t.Error("it refuses connections, yet is not known to answer")
			}
			send(t, pid, syscall.SIGSTOP)
			running(t, o.impatient.KnockAround)
			o.sees("frozen, it hangs, and had come so far that it answers", func(s board.Sight) bool { return s.Hung && s.Serves })
		})
	}
}
