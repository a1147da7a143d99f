package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// stopping is a link to a supervisor that answers a stop and ends later.
type stopping struct {
	Link
	err error
}

func (l stopping) Call(context.Context, string, any, any) error { return l.err }

// A supervisor that begins anew, or ends, while somebody waits for his stop, has not said no.
func TestAStopThatOutlivesTheSupervisorIsNotAnswered(t *testing.T) {
	a := someAgent(t)
	ctx, end := context.WithCancelCause(t.Context())
	end(ErrAgain)
	q, err := json.Marshal(wire.StopRequest{Regardless: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.stop(ctx, q); !errors.Is(err, wire.ErrNoAnswer) {
		t.Errorf("it answers: %v", err)
	}
}

func ended(s *board.Sight) { s.Link = wire.LinkState{Refused: true} }

// Who asked for the stop of both may start the other one again at once.
func TestAStopOfBothWaitsForTheEndOfTheOther(t *testing.T) {
	a := someAgent(t)
	a.link = stopping{Link: a.link}
	a.board.Set(func(s *board.Sight) {
		s.Heard, s.ReportAt, s.Link = wire.Now(), wire.Now(), wire.LinkState{Connected: true}
	})
	const later = 150 * time.Millisecond
	time.AfterFunc(later, func() { a.board.Set(ended) })
	began := time.Now()
	var answer wire.StopAnswer
	a.stopOther(t.Context(), wire.StopRequest{KeepPostgres: true}, &answer)
	if took := time.Since(began); took < later || answer.Left != "" {
		t.Errorf("after %s: %+v", took, answer)
	}
}

func TestAStopOfBothSaysWhatBecameOfTheOther(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        error
		see        func(*board.Sight)
		note, left string
	}{
		{"it was down", errors.New("nobody there"), func(s *board.Sight) { ended(s); s.Port = board.PortRefused }, "server2 was down already", ""},
		{"its PostgreSQL goes on", errors.New("nobody there"), func(s *board.Sight) { ended(s); s.Port = board.PortAnswers }, "", "server2 was not stopped: nobody there"},
		{"it is cut off", errors.New("no answer"), func(*board.Sight) {}, "", "server2 was not stopped: no answer"},
		{"it fell silent", nil, func(s *board.Sight) { s.Heard, s.Started = 0, 0 }, "", ""},
	} {
		a := someAgent(t)
		a.link = stopping{a.link, c.err}
		a.config.Pair.Timings.HeartbeatTimeout.Duration = 50 * time.Millisecond
		a.board.Set(func(s *board.Sight) { s.Heard = wire.Now(); c.see(s) })
		var answer wire.StopAnswer
		a.stopOther(t.Context(), wire.StopRequest{}, &answer)
		if strings.Join(answer.Notes, "") != c.note || answer.Left != c.left {
			t.Errorf("%s: %+v", c.name, answer)
		}
	}
}

// unseen is a PostgreSQL of which the watcher does not know yet: a start that was left off
// has just launched it.
type unseen struct {
	Postgres
	stopped atomic.Bool
}

func (p *unseen) Postmaster() (pid int, running bool) { return 1, !p.stopped.Load() }

func (p *unseen) Stop(context.Context, int, postgres.StopMode) error {
	p.stopped.Store(true)
	return nil
}

// noting is a link that notes what the other server is told.
type noting struct {
	Link
	kinds []string
}

func (l *noting) Call(_ context.Context, kind string, _, _ any) error {
	l.kinds = append(l.kinds, kind)
	return nil
}

// What the board shows of PostgreSQL is as old as the last look. And the other server must
// hear from a primary that it rests, also from one that was down already: else it takes
// over when the supervisor has gone, too.
func TestAStopEndsWhatNobodyHasSeenAndSaysGoodbye(t *testing.T) {
	for _, down := range []bool{false, true} {
		a := someAgent(t)
		server, link := &unseen{Postgres: a.server}, &noting{Link: a.link}
		server.stopped.Store(down)
		a.hands.Postgres, a.hands.Peer = server, link
		a.board.Set(func(s *board.Sight) {
			s.Known, s.Task, s.Record = true, decide.TaskStop, rec(1, 2, "server1", pair.Paired)
		})
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		ok(t, a.loop(ctx))
		if !server.stopped.Load() {
			t.Error("PostgreSQL runs on, and nobody supervises it")
		}
		// A turn that begins just when the stop is done makes it once more.
		if !slices.Equal(slices.Compact(link.kinds), []string{wire.KindResting}) {
			t.Errorf("down %t: the other server was told %q", down, link.kinds)
		}
	}
}

// A stop that comes while the supervisor begins anew is the next run's, or its end.
func TestAStopIsNotLostWhenTheSupervisorBeginsAnew(t *testing.T) {
	for keep, want := range map[bool]error{false: ErrAgainToStop, true: nil} {
		a := someAgent(t)
		ended, end := context.WithCancel(t.Context())
		end()
		_, _ = a.stop(ended, body(wire.StopRequest{KeepPostgres: keep})) // nobody is left to hear the answer
		if err := a.passOn(ErrAgain); !errors.Is(err, want) {
			t.Errorf("PostgreSQL goes on %t: %v", keep, err)
		}
	}
}

// heard is a link to a primary, which answers a goodbye.
type heard struct {
	Link
	answer func() error
}

func (l heard) Call(context.Context, string, any, any) error { return l.answer() }

// A standby that takes leave says so in its reports too: one of them, which said that it
// serves, would take the goodbye back before the primary has heeded it.
func TestAStandbyThatTakesLeaveReportsIt(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) {
		s.Known, s.PID, s.LookAt, s.Look.InRecovery, s.Record = true, 7, 1, true, rec(2, 3, "server2", pair.Paired)
	})
	word := func() string { return a.postgresWord(a.board.Read()) }
	for _, c := range []struct {
		answer error
		after  string
	}{
		{&wire.RemoteError{Code: wire.CodeRefused, Text: "commits would wait"}, wire.ReportStandby},
		{nil, wire.ReportLeaving},
	} {
		meanwhile := ""
		a.hands.Peer = heard{a.link, func() error { meanwhile = word(); return c.answer }}
		if err := a.mayStop(t.Context()); (err != nil) != (c.answer != nil) || meanwhile != wire.ReportLeaving || word() != c.after {
			t.Errorf("%v: it says %q meanwhile and %q afterwards, and stops unless %v", c.answer, meanwhile, word(), err)
		}
	}
}
