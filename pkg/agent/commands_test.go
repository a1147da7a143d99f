package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func TestCallsFor(t *testing.T) {
	const me, other = pair.Server("server1"), pair.Server("server2")
	alone, paired := pair.Alone, pair.Paired
	for _, c := range []struct {
		what      string
		was, now  record.Record
		notOpen   bool
		detaching record.Revision
		due       []hook.Kind
		waits     bool // nothing is remembered: it is asked again
	}{
		{what: "no record", was: record.Record{}, now: record.Record{}, waits: true},
		{what: "the first record ever", now: rec(1, 1, me, alone)},
		{what: "nothing new", was: rec(1, 1, me, alone), now: rec(1, 1, me, alone)},
		{what: "attached here", was: rec(1, 1, me, alone), now: rec(1, 2, me, paired), due: []hook.Kind{hook.PostAttach}},
		{what: "attached there", was: rec(1, 1, other, alone), now: rec(1, 2, other, paired), due: []hook.Kind{hook.PostAttach}},
		{what: "detached", was: rec(1, 2, me, paired), now: rec(1, 3, me, alone), due: []hook.Kind{hook.PreDetach}},
		{what: "detached, told before", was: rec(1, 2, me, paired), now: rec(1, 3, me, alone), detaching: 2},
		{what: "detached, another told before", was: rec(1, 4, other, paired), now: rec(1, 5, other, alone), detaching: 2, due: []hook.Kind{hook.PreDetach}},
		{what: "took over", was: rec(1, 2, other, paired), now: rec(2, 3, me, alone), due: []hook.Kind{hook.PostSwitch}},
		{what: "took over, not open yet", was: rec(1, 2, other, paired), now: rec(2, 3, me, alone), notOpen: true, waits: true},
		{what: "lost the reign", was: rec(1, 2, me, paired), now: rec(2, 3, other, alone)},
		{what: "took over and attached meanwhile", was: rec(1, 2, other, paired), now: rec(2, 4, me, paired), due: []hook.Kind{hook.PostSwitch, hook.PostAttach}},
		{what: "there and back, unseen", was: rec(1, 2, me, paired), now: rec(3, 8, me, alone), due: []hook.Kind{hook.PostSwitch}},
		{what: "an older record", was: rec(3, 8, me, alone), now: rec(2, 4, other, alone), waits: true},
	} {
		before := said{Record: c.was}
		due, next := callsFor(before, c.now, me, !c.notOpen, c.detaching)
		if !slices.Equal(due, c.due) {
			t.Errorf("%s: due %v, want %v", c.what, due, c.due)
		}
		if (next == before) != c.waits && c.was != c.now {
			t.Errorf("%s: remembers %+v", c.what, next)
		}
		if again, _ := callsFor(next, c.now, me, true, c.detaching); !c.waits && len(again) > 0 {
			t.Errorf("%s: due a second time: %v", c.what, again)
		}
		if c.now.Mode == paired && next.PairedTerm != c.now.Term {
			t.Errorf("%s: the paired term is %d", c.what, next.PairedTerm)
		}
	}
}

// withCommand is a supervisor for which the site has one command. Its calls are
// served, its loop does not run.
func withCommand(t *testing.T, set func(*config.Commands, string), text string) (a *Agent, out string) {
	t.Helper()
	c, _ := mcdir(t)
	out = c.Path("out")
	path := c.Path("command")
	ok(t, os.WriteFile(path, []byte("#!/bin/sh\nout="+out+"\n"+text+"\n"), 0o700))
	set(&c.Server.Commands, path)
	a = newAgent(t, c)
	a.runCommands()
	return a, out
}

func written(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// fencing is a site's fencing command.
func fencing(c *config.Commands, path string) { c.Fencing = path }

func TestFencingDecidesForAForcedSwitch(t *testing.T) {
	for status, name := range map[int]string{0: "yes", 1: "no", 255: "no"} {
		a, out := withCommand(t, fencing, fmt.Sprintf(`echo "$*" >$out; exit %d`, status))
		err := a.fence(t.Context(), hook.OpSwitch, false)
		if (err == nil) != (name == "yes") || err != nil && !errors.Is(err, wire.ErrRefused) {
			t.Errorf("exit %d: %v", status, err)
		}
		if got := written(out); got != "command switch server1 server2 primarycenter" {
			t.Errorf("called with %q", got)
		}
		if err := a.fence(t.Context(), hook.OpSwitch, true); err != nil {
			t.Errorf("exit %d, --no-fencing: %v", status, err)
		}
	}
	if err := someAgent(t).fence(t.Context(), hook.OpSwitch, false); err != nil {
		t.Errorf("no command: %v", err)
	}
}

// A fencing command that hangs is a no too, at the end of its time.
func TestFencingThatHangs(t *testing.T) {
	a, _ := withCommand(t, func(c *config.Commands, path string) {
		c.Fencing, c.FencingTimeout.Duration = path, 200*time.Millisecond
	}, "exec sleep 1000")
	err := a.fence(t.Context(), hook.OpDetach, false)
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "timed out and was killed") || !strings.Contains(err.Error(), "--no-fencing") {
		t.Errorf("got %v", err)
	}
}

// Where commands arbitrate, a standby that is not reached may take over: that it is off
// is believed when the operator says it, and not when he only wants nobody fenced.
func TestADetachOfAStandbyThatIsNotReached(t *testing.T) {
	for _, c := range []struct {
		name   string
		fences string // the command, if there is one
		ask    wire.DetachRequest
		given  bool
	}{
		{"nobody is fenced", "exit 0", wire.DetachRequest{NoFencing: true}, false},
		{"there is no command", "", wire.DetachRequest{}, false},
		{"fencing fails", "exit 1", wire.DetachRequest{}, false},
		{"it is fenced", "exit 0", wire.DetachRequest{}, true},
		{"it is off", "exit 1", wire.DetachRequest{StandbyOff: true}, true},
	} {
		set := func(conf *config.Commands, path string) {
			if c.fences != "" {
				conf.Fencing = path
			}
		}
		a, _ := withCommand(t, set, c.fences)
		paired := rec(3, 7, "server1", pair.Paired)
		ok(t, a.own.Save(paired))
		a.config.Pair.Arbiter.Kind = config.Command
		_, err := a.newKeeper()
		ok(t, err)
		a.board.Note(func(s *board.Sight) { s.Learn(paired, true) })
		r, _ := a.fencing.keeper.Telling()
		ok(t, a.fencing.keeper.Answered(t.Context(), r, false))
		err = a.prepareDetach(t.Context(), mustJSON(c.ask))
		if (err == nil) != c.given || !c.given && (!errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "--standby-is-off")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if given := a.fencing.keeper.Leave() == arbiter.LeaveGiven; given != c.given {
			t.Errorf("%s: the primary may go alone: %v", c.name, given)
		}
	}
}

// A forced switch whose fencing fails changes nothing: the keeper is not even asked.
func TestForceIsRefusedWhenFencingFails(t *testing.T) {
	a, out := withCommand(t, fencing, `echo "$*" >$out; exit 7`)
	a.board.Note(func(s *board.Sight) {
		s.Known, s.PID, s.LookAt, s.Look.InRecovery = true, 1, 1, true
		s.Learn(rec(1, 4, "server2", pair.Paired), true)
	})
	_, err := a.force(false)
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "exit status 7") || written(out) == "" {
		t.Errorf("got %v, called with %q", err, written(out))
	}
	if s := a.board.Read(); s.Record.Term != 1 {
		t.Errorf("the record is %s", s.Record)
	}
}

// Fencing that takes longer than whoever asked waits must not have been for nothing.
func TestForceGoesOnWhenWhoeverAskedHasGone(t *testing.T) {
	a, out := withCommand(t, fencing, `echo "$*" >$out; exit 7`)
	a.board.Note(func(s *board.Sight) {
		s.Known, s.PID, s.LookAt, s.Look.InRecovery = true, 1, 1, true
		s.Learn(rec(1, 4, "server2", pair.Paired), true)
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.doSwitch(gone, mustJSON(wire.SwitchRequest{Force: true})); err == nil || !strings.Contains(err.Error(), "exit status 7") || written(out) == "" {
		t.Errorf("got %v, called with %q", err, written(out))
	}
}

// Nobody is powered off for a change that cannot be made.
func TestNobodyIsFencedWithoutTheArbiter(t *testing.T) {
	a, out := withCommand(t, fencing, `echo "$*" >$out`)
	a.config.Pair.Arbiter.Kind = config.Witness
	err := a.fence(t.Context(), hook.OpSwitch, false)
	if !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "nothing was fenced") || written(out) != "" {
		t.Errorf("got %v, called with %q", err, written(out))
	}
}

// After a fault the detach does not wait for the command, and it is called once.
func TestPreDetachAfterAFault(t *testing.T) {
	a, out := withCommand(t, func(c *config.Commands, path string) { c.PreDetach = path }, `echo "$*" >>$out; exec sleep 1000`)
	a.board.Note(func(s *board.Sight) { s.Learn(rec(1, 4, "server1", pair.Paired), true) })
	began := time.Now()
	for range 3 {
		a.detachDecided(decide.Rule{Do: decide.Detach})
		a.detachDecided(decide.Rule{Do: decide.Wait})
	}
	if took := time.Since(began); took > limit/2 {
		t.Errorf("deciding was held up for %s", took)
	}
	eventually(t, "it is called", func() bool { return written(out) != "" })
	if got := written(out); got != "server1 primary server2 primarycenter" {
		t.Errorf("called with %q", got)
	}
}

// What is called stands in the file before long, and is not called again by the next
// life of the supervisor.
func TestCallsAreRemembered(t *testing.T) {
	a, out := withCommand(t, func(c *config.Commands, path string) { c.PostAttach = path }, `echo "$*" >>$out`)
	see := func(a *Agent, r record.Record) {
		a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
		a.commandsAreDue(a.board.Read())
	}
	see(a, rec(1, 1, "server2", pair.Alone))
	eventually(t, "the first is remembered", func() bool { return a.commands.revision.Load() == 1 })
	see(a, rec(1, 2, "server2", pair.Paired))
	eventually(t, "it is called", func() bool { return written(out) == "server1 standby server1 primarycenter" })
	eventually(t, "it is remembered", func() bool { return a.commands.revision.Load() == 2 })
	if a.commands.switched(rec(1, 2, "server2", pair.Alone)) || !a.commands.switched(rec(2, 3, "server1", pair.Alone)) {
		t.Error("which term began with a switch is not known")
	}
	next := newAgent(t, a.config)
	next.runCommands()
	see(next, rec(1, 2, "server2", pair.Paired))
	see(next, rec(1, 3, "server2", pair.Alone))
	eventually(t, "the next life goes on", func() bool { return next.commands.revision.Load() == 3 })
	if got := written(out); strings.Contains(got, "\n") {
		t.Errorf("called again: %q", got)
	}
}

// Every line of the journal is told, and how an event command ended is none.
func TestEventCommand(t *testing.T) {
	a, out := withCommand(t, func(c *config.Commands, path string) { c.Event = path }, `echo "$3: $(cat)" >>$out; exit 1`)
	a.journal.acted(decide.Promote, nil, time.Second, 1)
	eventually(t, "it is told", func() bool { return strings.Contains(written(out), `"took_ms":1000`) })
	if got := written(out); !strings.HasPrefix(got, "promote done in 1s: {") || strings.Contains(got, "\n") {
		t.Errorf("told %q", got)
	}
	a.journal.acted(decide.Attach, nil, time.Second, 1)
	eventually(t, "the next is told", func() bool { return strings.Contains(written(out), "attach done") })
	if n := strings.Count(written(out), "\n"); n != 1 {
		t.Errorf("%d lines too many: %s", n-1, written(out))
	}
}
