package agent

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

var operator = wire.Identity{Name: wire.LocalName}

// pairedPrimary sees nothing that would be in the way of a switch.
func pairedPrimary(t *testing.T) *Agent {
	t.Helper()
	a := someAgent(t)
	r := rec(3, 8, "server1", pair.Paired)
	a.keeper, a.link = hearingKeeper{Keeper: a.keeper, holds: r, hears: true}, roomThere{Link: a.link}
	a.board.Set(func(s *board.Sight) {
		now := wire.Now()
		*s = board.Sight{Known: true, PID: 7, LookAt: now, Started: now, Record: r, Copy: r, Confirmed: true, KeeperReached: true, Heard: now, ReportAt: now}
		s.Link.Connected = true
		s.Report = wire.Report{Server: "server2", Record: r, Postgres: wire.ReportStandby, Failover: true}
		s.Look.Peer = &postgres.Sender{State: "streaming"}
	})
	return a
}

// Whoever asked has been told that the switch did not take place, or has gone: it must not
// begin when the disk answers at last. One that the other server passed on is not cancelled.
func TestASwitchDoesNotBeginAfterItsDiskHung(t *testing.T) {
	for name, c := range map[string]struct {
		from   wire.Identity
		leaves time.Duration
	}{"the operator leaves": {operator, 50 * time.Millisecond}, "passed on": {otherServer, limit}} {
		t.Run(name, func(t *testing.T) {
			a := pairedPrimary(t)
			a.config.Pair.Timings.HeartbeatTimeout.Duration = time.Second
			disk := fault.Hang(t)
			a.store.Disk = disk
			ctx, cancel := context.WithTimeout(t.Context(), c.leaves)
			defer cancel()
			disk.Free(t, "the request", func() {
				if _, err := a.Handle(ctx, c.from, wire.KindSwitch, body(wire.SwitchRequest{})); err == nil || ctx.Err() == nil && !strings.Contains(err.Error(), "does not answer") {
					t.Errorf("the answer is %v", err)
				}
			})
			disk.LetGo()
			eventually(t, "the switch has failed", func() bool { job, _ := a.jobs.Get(""); return job.Final && job.Phase == "failed" })
			if task := a.board.Read().Task; task != decide.NoTask {
				t.Errorf("a %s is under way", task)
			}
		})
	}
}

// hasty is a clock by which every patience is short.
type hasty struct{ clock.Clock }

func (h hasty) Timeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return h.Clock.Timeout(ctx, d/1000, cause)
}

// The arbiter is away, so that the record stays paired: a detach that has failed is not made
// later, and the standby is attached again after any fault.
func TestADetachThatFailedHoldsNobodyOff(t *testing.T) {
	a := pairedPrimary(t)
	a.clock = hasty{a.clock}
	for range 2 { // the second one finds nothing of the first
		if _, err := a.detach(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not within 30s") {
			t.Fatalf("detach: %v", err)
		}
		w, err := a.store.LoadWishes()
		ok(t, err)
		if s := a.board.Read(); s.Held || w.Held || s.Task != decide.NoTask {
			t.Errorf("held off %v, on the disk %v; a %s is under way", s.Held, w.Held, s.Task)
		}
	}
}

// It came about a moment after its time.
func TestALateDetachStays(t *testing.T) {
	a := pairedPrimary(t)
	ok(t, a.wish(func(w *wishes) { w.Held = true }))
	a.board.Set(func(s *board.Sight) {
		s.Record, s.Copy = rec(3, 9, "server1", pair.Alone), rec(3, 9, "server1", pair.Alone)
	})
	ok(t, a.takeBackDetach(false))
	if !a.board.Read().Held {
		t.Error("it would be attached again")
	}
}

// What a crash in the middle of a detach leaves is told.
func TestAPairedStandbyThatIsHeldOffIsToldOf(t *testing.T) {
	a := pairedPrimary(t)
	for held, want := range map[bool]string{false: "", true: "a detach was cut off"} {
		a.board.Set(func(s *board.Sight) { s.Held = held })
		if st := a.status(); st.Healthy == held || !strings.HasPrefix(st.NextStep, want) {
			t.Errorf("held %v: healthy %v, next step %q", held, st.Healthy, st.NextStep)
		}
	}
}

// The other server became primary in that moment: it was not detached, and what it does
// alone is not what was asked for.
func TestADetachThatATakeOverForestallsHoldsNobodyOff(t *testing.T) {
	a := pairedPrimary(t)
	r := rec(4, 9, "server2", pair.Alone)
	done := make(chan error, 1)
	go func() {
		_, err := a.detach(t.Context(), nil)
		done <- err
	}()
	eventually(t, "the detach is under way", func() bool { return a.board.Read().Task == decide.TaskDetach })
	a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
	if err := <-done; err == nil || !strings.Contains(err.Error(), "server2 became primary meanwhile") {
		t.Errorf("detach: %v", err)
	}
	w, err := a.store.LoadWishes()
	ok(t, err)
	if a.board.Read().Held || w.Held {
		t.Error("server2 is held off")
	}
}

// A supervisor that was killed in a detach, and whose server was replaced, is a standby
// again when it comes back: the wish was another reign's, and must not outlive it.
func TestAHoldDoesNotOutliveItsReign(t *testing.T) {
	for reign, c := range map[string]struct {
		record record.Record
		ends   bool
	}{
		"it is primary still":       {rec(3, 8, "server1", pair.Paired), false},
		"it is primary, and alone":  {rec(3, 9, "server1", pair.Alone), false},
		"replaced, not yet a pair":  {rec(4, 9, "server2", pair.Alone), false},
		"the pair was made by both": {rec(4, 10, "server2", pair.Paired), true},
	} {
		t.Run(reign, func(t *testing.T) {
			a := pairedPrimary(t)
			ok(t, a.wish(func(w *wishes) { w.Held = true }))
			a.board.Set(func(s *board.Sight) { s.Record = c.record })
			a.endOldHold(a.board.Read())
			eventually(t, "that is over", func() bool { return !a.endingHold.Load() })
			w, err := a.store.LoadWishes()
			ok(t, err)
			if held := a.board.Read().Held; held == c.ends || w.Held == c.ends {
				t.Errorf("held %v, on the disk %v", held, w.Held)
			}
		})
	}
}

// knowing is a link to a supervisor that knows a job, or that does not answer.
type knowing struct {
	Link
	job   wire.Job
	err   error
	asked []string // kinds, with IDs
}

func (k *knowing) Call(_ context.Context, kind string, request, answer any) error {
	text, _ := json.Marshal(request)
	k.asked = append(k.asked, kind+" "+string(text))
	if k.err != nil {
		return k.err
	}
	text, _ = json.Marshal(k.job)
	return json.Unmarshal(text, answer)
}

// After a switch from server1 to server2 the job lies on server1, and that of the next switch,
// wherever it is asked for, on server2.
func TestTheNewestSwitchIsFoundOnEitherServer(t *testing.T) {
	running := wire.Job{ID: "switch-2-b", Kind: "switch", Term: 3, Phase: "checkpoint"}
	older := wire.Job{ID: "switch-0-9", Kind: "switch", Term: 1, Phase: "done", Final: true}
	for name, c := range map[string]struct {
		record record.Record
		link   knowing
		want   string // the ID, or what the error says
	}{
		"it runs there":         {rec(2, 7, "server2", pair.Paired), knowing{job: running}, running.ID},
		"an older one is there": {rec(2, 7, "server2", pair.Paired), knowing{job: older}, "switch-1-"},
		"none is known there":   {rec(2, 7, "server2", pair.Paired), knowing{err: &wire.RemoteError{Text: "no switch is known here"}}, "switch-1-"},
		"no answer":             {rec(2, 7, "server2", pair.Paired), knowing{err: wire.ErrNoAnswer}, "server2 may know a newer switch than switch-1-"},
		"it is of this reign":   {rec(1, 5, "server1", pair.Paired), knowing{err: wire.ErrNoAnswer}, "switch-1-"},
	} {
		t.Run(name, func(t *testing.T) {
			a := someAgent(t)
			_, err := a.jobs.Begin("switch", "server1", "server2", rec(1, 5, "server1", pair.Paired))
			ok(t, err)
			a.jobs.Drop(errors.New("planned"))
			a.board.Note(func(s *board.Sight) { s.Record = c.record })
			c.link.Link = a.link
			a.link = &c.link
			got, err := a.Handle(t.Context(), operator, wire.KindJob, body(wire.JobRequest{}))
			var job wire.Job
			ok(t, json.Unmarshal(body(got), &job))
			if err != nil {
				job.ID = err.Error()
			}
			if !strings.HasPrefix(job.ID, c.want) {
				t.Errorf("got %s, want %s", job.ID, c.want)
			}
			if name == "it runs there" {
				_, err = a.Handle(t.Context(), operator, wire.KindCancel, body(wire.JobRequest{}))
				if last := c.link.asked[len(c.link.asked)-1]; err != nil || last != `cancel {"id":"switch-2-b","local":true}` {
					t.Errorf("to give it up, it asked %s: %v", last, err)
				}
			}
		})
	}
}
