package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func tell(t *testing.T, a *Agent, kind string, v any) {
	t.Helper()
	_, err := a.Handle(t.Context(), otherServer, kind, body(v))
	ok(t, err)
}

func TestAReportIsASignOfLifeAndTellsTheRecord(t *testing.T) {
	a := someAgent(t)
	newer, older := rec(3, 7, "server2", pair.Paired), rec(3, 6, "server2", pair.Alone)
	before := wire.Now()
	tell(t, a, wire.KindReport, wire.Report{Server: "server2", Postgres: wire.ReportBusy, Record: newer, Insert: 99})
	s := a.board.Read()
	if s.Report.Insert != 99 || s.ReportAt < before || s.Heard < before || !s.Inbound {
		t.Errorf("the report was not noted: %+v", s)
	}
	if s.Record != newer {
		t.Errorf("the record is still %s", s.Record)
	}
	tell(t, a, wire.KindReport, wire.Report{Record: older})
	if s := a.board.Read(); s.Record != newer {
		t.Errorf("an older report took the record back to %s", s.Record)
	}
	if got := a.own.Get(); got.Exists() {
		t.Errorf("a report is answered without waiting for a disk, yet the copy holds %s", got)
	}
}

func TestOnlyTheOpenPrimaryConfirmsItsRecord(t *testing.T) {
	for _, c := range []struct {
		postgres  string
		primary   pair.Server
		confirmed bool
	}{
		{wire.ReportOpen, "server2", true},
		{wire.ReportOpen, "server1", false},
		{wire.ReportGated, "server2", false},
		{wire.ReportDown, "server2", false},
		{wire.ReportStandby, "server1", false},
	} {
		a := someAgent(t)
		tell(t, a, wire.KindReport, wire.Report{Server: "server2", Postgres: c.postgres, Record: rec(3, 7, c.primary, pair.Paired)})
		if got := a.board.Read().Confirmed; got != c.confirmed {
			t.Errorf("server2 is %s and says that %s is primary: confirmed %v", c.postgres, c.primary, got)
		}
	}
}

// Without an arbiter nobody else can tell this server that it is paired: it would save
// that, and forget that it has lost its own record, in which it was alone.
func TestThePairedRecordOfThisServerIsNotLearnedFromTheOther(t *testing.T) {
	for _, kind := range []config.ArbiterKind{config.None, config.Command, config.Witness} {
		a := someAgent(t)
		a.config.Pair.Arbiter.Kind = kind
		said := rec(3, 7, "server1", pair.Paired)
		tell(t, a, wire.KindReport, wire.Report{Server: "server2", Postgres: wire.ReportStandby, Record: said})
		s := a.board.Read()
		if learned := s.Record == said; learned != (kind == config.Witness) || s.Report.Record != said {
			t.Errorf("%s: the record is %s", kind, s.Record)
		}
	}
}

func TestAPeerThatNoLongerRestsIsForgottenDurably(t *testing.T) {
	a := someAgent(t)
	tell(t, a, wire.KindResting, struct{}{})
	if w, err := a.store.LoadWishes(); err != nil || !w.PeerResting || !a.board.Read().PeerResting {
		t.Fatalf("resting was not kept: %+v, %v", w, err)
	}
	tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportResting})
	if !a.board.Read().PeerResting {
		t.Error("it still rests")
	}
	tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportOpen})
	if a.board.Read().PeerResting {
		t.Error("it does not rest any more")
	}
	eventually(t, "that is on the disk", func() bool {
		tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportOpen}) // again and again, as reports come
		w, err := a.store.LoadWishes()
		return err == nil && !w.PeerResting
	})
}

// A stop that this server was not told of, since it was away, is heard of by the reports.
func TestAPeerThatRestsByItsReportsIsRememberedDurably(t *testing.T) {
	a := someAgent(t)
	tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportResting})
	if !a.board.Read().PeerResting {
		t.Error("it does not rest")
	}
	eventually(t, "that is on the disk", func() bool {
		tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportResting}) // again and again, as reports come
		w, err := a.store.LoadWishes()
		return err == nil && w.PeerResting
	})
}

// With failover off on the primary alone, its death must not be what turns it on.
func TestThatFailoverIsOffOnTheOtherServerIsRememberedDurably(t *testing.T) {
	c, _ := mcdir(t)
	a := newAgent(t, c)
	off := func(a *Agent) bool {
		s := a.board.Read()
		s.Link, s.Heard, s.Inbound = wire.LinkState{Refused: true}, 0, false
		return a.limits.Classify(s, a.clock.Now()).Failover == decide.FailoverOff
	}
	says := func(on bool) {
		t.Helper()
		eventually(t, "that is on the disk", func() bool {
			tell(t, a, wire.KindReport, wire.Report{Postgres: wire.ReportOpen, Failover: on}) // again and again, as reports come
			w, err := a.store.LoadWishes()
			return err == nil && w.PeerFailoverOff == !on
		})
	}
	says(false)
	if again := newAgent(t, c); !off(a) || !off(again) {
		t.Errorf("off: %v, and after a restart: %v", off(a), off(again))
	}
	says(true)
	if off(a) {
		t.Error("off, although the other server has said that it is on")
	}
	says(false)
	_, err := a.Handle(t.Context(), wire.Identity{Name: wire.LocalName}, wire.KindFailover, body(wire.FailoverRequest{On: true}))
	ok(t, err)
	if w, err := a.store.LoadWishes(); off(a) || err != nil || w.PeerFailoverOff {
		t.Error("off, although an operator has enabled it when the other server could not be told")
	}
}

func TestALearnedRecordIsConfirmedAndNeverGoesBack(t *testing.T) {
	a := someAgent(t)
	newest := rec(4, 8, "server2", pair.Alone)
	for _, r := range []record.Record{rec(3, 7, "server1", pair.Paired), newest} {
		tell(t, a, wire.KindLearn, r)
		if s := a.board.Read(); s.Record != r || !s.Confirmed {
			t.Errorf("record %s, confirmed %v; want %s", s.Record, s.Confirmed, r)
		}
	}
	tell(t, a, wire.KindLearn, rec(3, 7, "server1", pair.Paired)) // a message that was long under way
	if s := a.board.Read(); s.Record != newest {
		t.Errorf("went back to %s", s.Record)
	}
}

func TestTheCopyFollowsTheRecordButWaitsForAPromotion(t *testing.T) {
	a := someAgent(t)
	r := rec(4, 8, "server1", pair.Alone)
	tell(t, a, wire.KindLearn, r)
	a.copyIsDue(a.board.Read(), rule(decide.Promote))
	if len(a.copyDue) != 0 {
		t.Error("a promotion saves the copy itself")
	}
	a.group.run("copy", a.keepCopy)
	a.copyIsDue(a.board.Read(), rule(decide.Wait))
	eventually(t, "the copy was saved", func() bool { return a.board.Read().Copy == r })
	onDisk, err := arbiter.OpenCopy(durable.Machine, a.config.Path("record.json"))
	ok(t, err)
	if onDisk.Get() != r {
		t.Errorf("on the disk is %s", onDisk.Get())
	}
	a.copyIsDue(a.board.Read(), rule(decide.Wait))
	if len(a.copyDue) != 0 {
		t.Error("a copy that is up to date is not due")
	}
}

func TestAnOldRecordConfirmsNothing(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) { s.Record = rec(4, 8, "server1", pair.Paired) })
	tell(t, a, wire.KindLearn, rec(3, 7, "server1", pair.Paired))
	if a.board.Read().Confirmed {
		t.Error("an older record confirmed the newer one")
	}
}

func TestARecordOfAnotherPairIsRefused(t *testing.T) {
	a := someAgent(t)
	foreign := rec(9, 9, "server2", pair.Alone)
	foreign.Pair = "q"
	_, err := a.Handle(t.Context(), otherServer, wire.KindLearn, body(foreign))
	if err == nil || !strings.Contains(err.Error(), `"q"`) {
		t.Errorf("learned: %v", err)
	}
	if s := a.board.Read(); s.Record.Exists() || s.Confirmed || a.own.Get().Exists() {
		t.Errorf("the board holds %s, the copy %s", s.Record, a.own.Get())
	}
}

func TestAGoodbyeIsAnsweredOnceNobodyWaitsForTheStandby(t *testing.T) {
	mine, alone := rec(1, 2, "server1", pair.Paired), rec(1, 3, "server1", pair.Alone)
	set := func(a *Agent, r record.Record) {
		a.board.Set(func(s *board.Sight) { s.Record, s.Copy, s.KeeperReached = r, r, true })
	}
	for _, c := range []struct {
		name         string
		before, then func(*board.Sight)
	}{
		{"the record is alone", nil, func(s *board.Sight) { s.Record, s.Copy = alone, alone }},
		{"it is, and the names are gone too", func(s *board.Sight) { s.Record, s.Copy, s.SettingsWrong = alone, alone, true }, func(s *board.Sight) { s.SettingsWrong = false }},
		{"it is, and the detach has ended", func(s *board.Sight) { s.Record, s.Copy, s.Doing = alone, alone, decide.Detach }, func(s *board.Sight) { s.Doing = "" }},
		{
			"it is, and PostgreSQL goes by it", func(s *board.Sight) {
				s.Record, s.Copy, s.PID, s.Look.SyncNames = alone, alone, 7, "server2"
			}, func(s *board.Sight) { s.Look.SyncNames = "" },
		},
		{"this server stops as well", nil, func(s *board.Sight) { s.Task = decide.TaskStop }},
		{"the other one has taken over", nil, func(s *board.Sight) { s.Record = rec(2, 3, "server2", pair.Alone) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := someAgent(t)
			set(a, mine)
			if c.before != nil {
				a.board.Set(c.before)
			}
			answered := make(chan error, 1)
			go func() {
				_, err := a.Handle(context.Background(), otherServer, wire.KindRelease, nil)
				answered <- err
			}()
			eventually(t, "the goodbye is on the board", func() bool { return a.board.Read().Report.Postgres == wire.ReportLeaving })
			if len(answered) != 0 {
				t.Error("answered while commits may wait")
			}
			a.board.Set(c.then)
			ok(t, received(t, answered))
		})
	}
	a := someAgent(t)
	set(a, mine)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.Handle(ctx, otherServer, wire.KindRelease, nil); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a primary that stays paired: %v", err)
	}
}

func TestAGoodbyeIsRefusedByAPrimaryThatCannotGoOnAlone(t *testing.T) {
	mine, alone := rec(1, 2, "server1", pair.Paired), rec(1, 3, "server1", pair.Alone)
	for want, sight := range map[string]func(*board.Sight){
		"the arbiter at  is not reached, so server1 cannot go on alone": func(s *board.Sight) { s.Record, s.Copy = mine, mine },
		"commits on server1 wait for server2 although the record says alone: x.conf:1: syntax error (and 1 more: mcctl status)": func(s *board.Sight) {
			s.Record, s.Copy, s.KeeperReached, s.PID, s.Look.SyncNames, s.ConfigInTheWay = alone, alone, true, 7, "server2", "x.conf:1: syntax error\ny"
		},
	} {
		a := someAgent(t)
		a.board.Set(sight)
		if _, err := a.Handle(t.Context(), otherServer, wire.KindRelease, nil); !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFailoverIsSwitchedDurably(t *testing.T) {
	c, _ := mcdir(t)
	a := newAgent(t, c)
	operator := wire.Identity{Name: wire.LocalName}
	answer, err := a.Handle(t.Context(), operator, wire.KindFailover, body(wire.FailoverRequest{}))
	ok(t, err)
	if got := answer.(wire.FailoverAnswer); got.Both || got.Other == "" {
		t.Errorf("the other server cannot be reached, yet: %+v", got)
	}
	if again := newAgent(t, c); !a.board.Read().FailoverOff || !again.board.Read().FailoverOff {
		t.Error("it is on, or on again after a restart")
	}
	tell(t, a, wire.KindFailover, wire.FailoverRequest{On: true, Local: true})
	if a.board.Read().FailoverOff {
		t.Error("it is still off")
	}
	c.Pair.Policy.Failover = false
	if _, err := a.Handle(t.Context(), operator, wire.KindFailover, body(wire.FailoverRequest{On: true})); err == nil || !strings.Contains(err.Error(), "policy.failover") {
		t.Errorf("against the policy: %v", err)
	}
}

// TestWhatWasPassedOnIsNotPassedBack: two servers that do not agree who is primary
// would otherwise ask each other for ever.
func TestWhatWasPassedOnIsNotPassedBack(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) { s.Record = rec(2, 3, "server2", pair.Alone) })
	for _, kind := range []string{wire.KindAttach, wire.KindDetach, wire.KindPreview, wire.KindSwitch} {
		if _, err := a.Handle(t.Context(), otherServer, kind, body(struct{}{})); !errors.Is(err, wire.ErrRefused) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
