package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// switching is an open, paired primary with a switch begun.
func switching(t *testing.T, r record.Record) (*Hands, *otherSide, wire.Job) {
	t.Helper()
	h, other := newHands(t, r)
	started(t, h)
	job, err := h.Jobs.Begin("switch", h.me(), h.other(), r)
	ok(t, err)
	h.Board.Set(func(s *board.Sight) { s.Task = decide.TaskSwitch })
	return h, other, job
}

func phases(j wire.Job) (all []string) {
	for _, s := range j.Steps {
		all = append(all, s.Phase)
	}
	return all
}

func TestSwitchHandsOverWhatTheStandbyIsKnownToHold(t *testing.T) {
	before := copyOf(3, 8, pair.Paired)
	h, other, job := switching(t, before)
	var asked pair.LSN
	var learned record.Record
	other.answer = func(_ context.Context, kind string, request any) (any, error) {
		switch kind {
		case wire.KindHolds:
			if c := control(t, h); !c.State.CleanPrimary() {
				t.Errorf("asked while clients can still commit: %s", c.State)
			}
			if got := h.Copy.Get(); got != before {
				t.Errorf("the record is %s before the standby has answered", got)
			}
			asked = request.(wire.HoldsRequest).LSN
			return wire.HoldsAnswer{Holds: other.times(wire.KindHolds) > 2}, nil
		case wire.KindLearn:
			learned = request.(record.Record)
			if _, err := h.Jobs.GiveUp(job.ID); err == nil {
				t.Error("it is given up when the record has changed")
			}
		}
		return nil, nil
	}
	ok(t, h.Switch(within(t)))
	after := record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 9}
	if h.Copy.Get() != after || learned != after {
		t.Errorf("the copy is %s, the other server learned %s", h.Copy.Get(), learned)
	}
	c := control(t, h)
	if !c.State.CleanPrimary() || asked != c.Checkpoint {
		t.Errorf("PostgreSQL is %s at %s, the standby was asked for %s", c.State, c.Checkpoint, asked)
	}
	if pid, running := h.Postgres.Postmaster(); running {
		t.Errorf("the switch has ended, and postmaster %d has not", pid)
	}
	got, err := h.Jobs.Get(job.ID)
	ok(t, err)
	if want := []string{phaseChecking, phaseCheckpoint, phaseClosing, phaseHandingOver, phasePromoting}; !got.Committed || got.Final || !slices.Equal(phases(got), want) {
		t.Errorf("the job is %+v", got)
	}
	if h.Board.Read().Task != decide.NoTask {
		t.Error("the task is still there")
	}
}

func TestASwitchThatCannotBeMadeLeavesTheRecord(t *testing.T) {
	var refused *arbiter.Refused
	for _, c := range []struct {
		name    string
		mode    pair.Mode
		holds   func(h *Hands, cancel func()) (any, error) // the answer to KindHolds
		says    []string
		check   func(error) bool
		phase   string
		running bool
	}{
		{
			name: "the standby lacks the last record", mode: pair.Paired, phase: phaseFailed,
			holds: func(_ *Hands, cancel func()) (any, error) { cancel(); return wire.HoldsAnswer{Received: 0x99}, nil },
			says:  []string{"make sure that server2 holds the last record at ", "it has 0/99"},
		},
		{
			name: "the standby does not answer", mode: pair.Paired, phase: phaseFailed,
			holds: func(_ *Hands, cancel func()) (any, error) { cancel(); return nil, wire.ErrNoAnswer },
			says:  []string{"make sure that server2 holds the last record at "},
			check: func(err error) bool { return errors.Is(err, wire.ErrNoAnswer) },
		},
		{
			name: "the keeper refuses", mode: pair.Alone, phase: phaseFailed,
			check: func(err error) bool { return errors.As(err, &refused) },
		},
		{
			name: "given up while the standby is asked", mode: pair.Paired, phase: phaseGivenUp,
			holds: func(h *Hands, _ func()) (any, error) {
				_, err := h.Jobs.GiveUp("")
				return wire.HoldsAnswer{Holds: true}, err
			},
			check: func(err error) bool { return errors.Is(err, errGivenUp) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := copyOf(3, 8, c.mode)
			h, other, job := switching(t, before)
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			other.answer = func(_ context.Context, kind string, _ any) (any, error) {
				if c.holds == nil || kind != wire.KindHolds {
					return wire.HoldsAnswer{Holds: true}, nil
				}
				return c.holds(h, cancel)
			}
			err := h.Switch(ctx)
			fails(t, err, c.says...)
			if c.check != nil && !c.check(err) {
				t.Errorf("the error is %v", err)
			}
			judgeFailedSwitch(t, h, other, before, job.ID, c.phase)
		})
	}
}

func judgeFailedSwitch(t *testing.T, h *Hands, other *otherSide, before record.Record, id, phase string) {
	t.Helper()
	if h.Copy.Get() != before || h.Board.Read().Record != before {
		t.Errorf("the record is %s, on the board %s", h.Copy.Get(), h.Board.Read().Record)
	}
	if other.times(wire.KindLearn) > 0 {
		t.Error("the other server was told of a record that does not exist")
	}
	got, err := h.Jobs.Get(id)
	ok(t, err)
	if got.Phase != phase || !got.Final || got.Committed || (phase == phaseFailed) != (got.Error != "") {
		t.Errorf("the job is %+v", got)
	}
	if h.Board.Read().Task != decide.NoTask {
		t.Error("the task is still there")
	}
}

func TestASwitchGivenUpInTimeDisturbsNobody(t *testing.T) {
	before := copyOf(3, 8, pair.Paired)
	h, other, job := switching(t, before)
	_, err := h.Jobs.GiveUp(job.ID)
	ok(t, err)
	if err := h.Switch(within(t)); !errors.Is(err, errGivenUp) {
		t.Errorf("the switch: %v", err)
	}
	judgeFailedSwitch(t, h, other, before, job.ID, phaseGivenUp)
	ok(t, client(t, h))
}

// A standby whose disk has just filled could not be promoted, and once it has the reign nobody
// may serve. One that does not say is not trusted with it; a moment without a connection is
// no verdict.
func TestASwitchAsksForTheStandbysRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		room func(nth int) (wire.HoldsAnswer, error)
		says []string
	}{
		{"its disk is full", func(int) (wire.HoldsAnswer, error) { return wire.HoldsAnswer{NoRoom: "/wal: 0 % (0 bytes) free"}, nil }, []string{"nothing was closed: server2 has no room to take over: /wal: 0 % (0 bytes) free"}},
		{"its disk hangs", func(int) (wire.HoldsAnswer, error) { return wire.HoldsAnswer{}, errors.New("perhaps a disk hangs") }, []string{"nothing was closed", "not known", "perhaps a disk hangs"}},
		{"it is heard at the second time", func(nth int) (wire.HoldsAnswer, error) {
			if nth == 1 {
				return wire.HoldsAnswer{}, wire.ErrNoAnswer
			}
			return wire.HoldsAnswer{}, nil
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, other := switchingNowhere()
			ctx, cancel := context.WithTimeout(within(t), time.Second)
			defer cancel()
			asked := 0
			other.room = func() (wire.HoldsAnswer, error) { asked++; return c.room(asked) }
			if err := h.standbyHasRoom(ctx); c.says != nil {
				fails(t, err, c.says...)
			} else {
				ok(t, err)
			}
		})
	}
}

// Half stopped it would serve nobody: it is ended, and what follows is decided anew.
func TestASwitchEndsAServerThatDoesNotStopInTime(t *testing.T) {
	before := copyOf(3, 8, pair.Paired)
	h, other, job := switching(t, before)
	h.Config.Pair.Timings.ShutdownTimeout = config.Duration{Duration: 1}
	fails(t, h.Switch(within(t)), "stop PostgreSQL", "has not exited")
	judgeFailedSwitch(t, h, other, before, job.ID, phaseFailed)
	if other.times(wire.KindHolds) > 0 {
		t.Error("the standby was asked, yet the server did not stop in good order")
	}
	eventually(t, "it has gone", func() bool { _, running := h.Postgres.Postmaster(); return !running })
}

func TestCloseWantsAShutdownInGoodOrder(t *testing.T) {
	h, other := newHands(t, copyOf(3, 8, pair.Paired))
	crashed(t, h)
	fails(t, h.close(within(t)), "close for the switch", "in good order", postgres.InProduction.String())
	if len(other.asked) > 0 {
		t.Errorf("asked %q", other.asked)
	}
}

// switchingNowhere has no PostgreSQL, only the other server.
func switchingNowhere() (*Hands, *otherSide) {
	h, other := &Hands{Config: &config.Config{}, Board: board.NewBoard()}, &otherSide{}
	h.Config.Server.Name, h.Config.Pair.Servers = "server1", map[string]config.Endpoint{"server1": {}, "server2": {}}
	h.Peer = other
	return h, other
}

func TestOtherHoldsAsksAgainAndIsBounded(t *testing.T) {
	h, other := switchingNowhere()
	other.answer = func(_ context.Context, _ string, request any) (any, error) {
		switch n := other.times(wire.KindHolds); {
		case n%3 == 1:
			return nil, wire.ErrNoAnswer // a moment without a connection is no verdict
		case n%3 == 2:
			return wire.HoldsAnswer{Received: request.(wire.HoldsRequest).LSN - 1}, nil
		}
		return wire.HoldsAnswer{Holds: true}, nil
	}
	ok(t, h.otherHolds(within(t), 0x200))
	if n := other.times(wire.KindHolds); n != 3 {
		t.Errorf("asked %d times", n)
	}
	other.answer = func(context.Context, string, any) (any, error) { return wire.HoldsAnswer{}, nil }
	ctx, cancel := context.WithTimeout(within(t), 20*time.Millisecond)
	defer cancel()
	if err := h.otherHolds(ctx, 0x200); err == nil || !strings.Contains(err.Error(), "0/200") {
		t.Errorf("a standby that never has it: %v", err)
	}
}

// checkpointer is the process of a running server that writes checkpoints.
func checkpointer(t *testing.T, h *Hands) int {
	t.Helper()
	pid := h.Board.Read().PID
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	ok(t, err)
	for _, child := range strings.Fields(string(b)) {
		line, _ := os.ReadFile("/proc/" + child + "/cmdline")
		if strings.Contains(string(line), "checkpointer") {
			n, err := strconv.Atoi(child)
			ok(t, err)
			return n
		}
	}
	t.Fatal("there is no checkpointer")
	return 0
}

// A checkpoint may take minutes, or for ever.
func TestASwitchIsLeftOffInItsCheckpoint(t *testing.T) {
	gone := errors.New("peer is lost")
	for _, c := range []struct {
		name, phase string
		end         func(*Hands) error
		why         error
	}{
		{"given up", phaseGivenUp, func(h *Hands) error { _, err := h.Jobs.GiveUp(""); return err }, errGivenUp},
		{"recalled", phaseFailed, func(h *Hands) error { h.Jobs.Recall(gone); return nil }, gone},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := copyOf(3, 8, pair.Paired)
			h, other, job := switching(t, before)
			pid := checkpointer(t, h)
			freeze(t, pid)
			defer func() { ok(t, syscall.Kill(pid, syscall.SIGCONT)) }()
			outcome := make(chan error, 1)
			go func() { outcome <- h.Switch(within(t)) }()
			eventually(t, "the checkpoint has begun", func() bool { j, _ := h.Jobs.Get(job.ID); return j.Phase == phaseCheckpoint })
			time.Sleep(20 * time.Millisecond)
			ok(t, c.end(h))
			select {
			case err := <-outcome:
				if !errors.Is(err, c.why) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(limit / 4):
				t.Fatal("it goes on")
			}
			judgeFailedSwitch(t, h, other, before, job.ID, c.phase)
			ok(t, client(t, h))
		})
	}
}

// What is asked for too late to be left off in the checkpoint is heard before the server
// begins to close; a recall that comes later than that is no longer heard.
func TestARecallIsHeardUntilTheServerBeginsToClose(t *testing.T) {
	j, err := LoadJobs(newStore(t))
	ok(t, err)
	why := errors.New("peer is lost")
	j.Recall(why) // there is nothing to recall
	for _, begun := range []bool{false, true} {
		job, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
		ok(t, err)
		if begun {
			ok(t, j.Enter(phaseCheckpoint))
		}
		j.Recall(why)
		if err := j.Enter(phaseClosing); !errors.Is(err, why) {
			t.Errorf("it closes: %v", err)
		}
		j.Fail(why)
		if got, _ := j.Get(job.ID); got.Phase != phaseFailed || got.Error != why.Error() {
			t.Errorf("the job is %+v", got)
		}
	}
	_, err = j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	ok(t, err)
	ok(t, j.Enter(phaseCheckpoint))
	ok(t, j.Enter(phaseClosing))
	j.Recall(why)
	ok(t, j.Enter(phaseHandingOver))
}

// A switch for want of room that was recalled has closed nothing to clients: it may begin
// again at once. One that somebody gave up may not.
func TestARecalledSwitchForRoomIsNoFailedOne(t *testing.T) {
	for _, c := range []struct {
		end   func(*Hands)
		noted bool
	}{
		{func(h *Hands) { h.Jobs.Recall(errPlanned) }, false},
		{func(h *Hands) { _, err := h.Jobs.GiveUp(""); ok(t, err) }, true},
	} {
		h, _ := newHands(t, copyOf(3, 8, pair.Paired))
		started(t, h)
		pid := checkpointer(t, h)
		freeze(t, pid)
		outcome := make(chan error, 1)
		go func() { outcome <- h.Switch(within(t)) }()
		eventually(t, "the checkpoint has begun", func() bool { j, _ := h.Jobs.Get(""); return j.Phase == phaseCheckpoint })
		c.end(h)
		if err := <-outcome; err == nil {
			t.Error("it switched")
		}
		ok(t, syscall.Kill(pid, syscall.SIGCONT))
		if noted := h.Board.Read().ReliefFailed > 0; noted != c.noted {
			t.Errorf("it counts as failed: %v, want %v", noted, c.noted)
		}
	}
}

// behind is a PostgreSQL whose standby has applied nothing.
type behind struct{ Postgres }

func (p behind) Connect(ctx context.Context) (Session, error) {
	s, err := p.Postgres.Connect(ctx)
	return flushed{s}, err
}

func TestASwitchThatReplayKeepsWaitingClosesNothing(t *testing.T) {
	before := copyOf(3, 8, pair.Paired)
	h, other, job := switching(t, before)
	h.Postgres = behind{h.Postgres}
	ctx, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	fails(t, h.Switch(ctx), "before anything was closed")
	judgeFailedSwitch(t, h, other, before, job.ID, phaseFailed)
	short, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	fails(t, h.standbyReplays(short), "nothing was closed", "RecoveryConflict", "until server2 has applied ")
	h.Postgres = h.Postgres.(behind).Postgres
	ok(t, client(t, h))
}
