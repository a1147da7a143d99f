package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// commands calls the site's commands. Nothing in it holds up the loop: which calls
// are due is worked out by a goroutine of its own from the record as it was and as it
// is, and each kind is run by another.
type commands struct {
	runner *hook.Runner
	path   string // of what was said
	due    chan struct{}
	said   said // of watchCommands alone

	// revision is the record's that said covers; pairedTerm the newest term in which
	// a standby was attached.
	revision, pairedTerm atomic.Uint64
	// detaching is the revision of the paired record for whose detach pre_detach was
	// called already.
	detaching atomic.Uint64
}

// said is what survives a restart: the newest record whose commands were called. A
// crash between a call and the file makes for a second call, never for none.
type said struct {
	Record     record.Record `json:"record"`
	PairedTerm pair.Term     `json:"paired_term"`
}

// openCommands finds out what an earlier life has called. Without a file this is
// the first one: what the record says now was nobody's doing.
func (a *Agent) openCommands() error {
	c := &commands{path: a.config.Path("commands.json"), due: make(chan struct{}, 1)}
	a.commands = c
	c.runner = hook.NewRunner(a.config.Server.Commands.Configured(), a.log, a.commandEnded)
	a.journal.tell = a.tellEvent
	if err := durable.ReadJSON(c.path, &c.said); err != nil {
		own := a.own.Get()
		c.said = said{Record: own, PairedTerm: own.Term}
	}
	c.keep(c.said)
	return nil
}

func (c *commands) keep(t said) {
	c.said = t
	c.revision.Store(uint64(t.Record.Revision))
	c.pairedTerm.Store(uint64(t.PairedTerm))
}

// switched: the term began with a change of roles, and nothing was attached since.
func (c *commands) switched(r record.Record) bool { return uint64(r.Term) > c.pairedTerm.Load() }

// runCommands starts the goroutines that call the site's commands.
func (a *Agent) runCommands() {
	for _, kind := range hook.Kinds() {
		if a.commands.runner.Has(kind) {
			a.group.run("command "+string(kind), func(ctx context.Context) error { return a.commands.runner.Serve(ctx, kind) })
		}
	}
	if a.commands.runner.Has(hook.Arbitration) && a.fencing.keeper == nil {
		a.log.Warn("commands.arbitration is configured, but nothing asks it", "arbiter", a.config.Pair.Arbiter.Kind)
	}
	a.group.run("commands", a.watchCommands)
}

// commandsAreDue wakes watchCommands when the record has moved on.
func (a *Agent) commandsAreDue(s board.Sight) {
	if a.commands == nil || !s.Confirmed || uint64(s.Record.Revision) == a.commands.revision.Load() {
		return
	}
	select {
	case a.commands.due <- struct{}{}:
	default:
	}
}

func (a *Agent) watchCommands(ctx context.Context) error {
	c := a.commands
	for {
		select {
		case <-c.due:
		case <-ctx.Done():
			return ctx.Err()
		}
		s := a.board.Read()
		open := board.Postgres(s) == decide.PostgresOpen
		kinds, next := callsFor(c.said, s.Record, a.config.Me(), open, record.Revision(c.detaching.Load()))
		for _, kind := range kinds {
			c.runner.Post(a.call(kind, s.Record))
		}
		if next == c.said {
			continue
		}
		if err := durable.WriteJSON(c.path, next, 0o600); err != nil {
			a.log.Warn("which commands were called cannot be saved", "error", err)
		}
		c.keep(next)
	}
}

// callsFor works out what is due after the record has become now, and what has been
// told then. It is pure. A new primary waits until it is open: post_switch sends
// clients there. detaching is the revision whose pre_detach was called already.
func callsFor(t said, now record.Record, me pair.Server, open bool, detaching record.Revision) (due []hook.Kind, next said) {
	was := t.Record
	mine := now.Primary == me
	if !now.Exists() || now.Term < was.Term {
		return nil, t
	}
	if was.Exists() && now.Term > was.Term && mine {
		if !open {
			return nil, t
		}
		due = append(due, hook.PostSwitch)
	}
	paired := now.Mode == pair.Paired
	switch sameTerm, wasPaired := now.Term == was.Term, was.Mode == pair.Paired; {
	case !was.Exists():
	case paired && !(sameTerm && wasPaired):
		due = append(due, hook.PostAttach)
	case !paired && sameTerm && wasPaired && was.Revision != detaching:
		// The primary was told when it decided; the standby learns it only now.
		due = append(due, hook.PreDetach)
	}
	t.Record = now
	if paired {
		t.PairedTerm = now.Term
	}
	return due, t
}

// call is a reason to run a command: the record says what there is to say.
func (a *Agent) call(kind hook.Kind, r record.Record) hook.Call {
	c := hook.Call{
		Command: kind, Time: time.Now(), Mcdir: a.config.Dir, Pair: a.config.Pair.Name,
		Server: a.config.Me(), Role: pair.RoleUnknown, Record: r,
	}
	switch {
	case !r.Exists():
	case r.Primary == c.Server:
		c.Role = pair.Primary
	default:
		c.Role = pair.Standby
	}
	switch kind {
	case hook.Fencing, hook.Arbitration:
		c.Target = a.config.Other()
	case hook.PreDetach, hook.PostAttach:
		c.Mode, c.Target = hook.ByMonitor, a.config.Me()
		if c.Role == pair.Primary {
			c.Target = a.config.Other()
		}
	}
	return c
}

// commandEnded writes down how a command ended. That an event was told is no event.
func (a *Agent) commandEnded(c hook.Call, out hook.Outcome) {
	if c.Command == hook.Event {
		if !out.OK() {
			a.log.Warn("command failed", "command", c.Command, "outcome", out.String())
		}
		return
	}
	e := Event{Action: "command " + string(c.Command), TookMS: float64(out.Took.Microseconds()) / 1e3, Text: fmt.Sprintf("command %s %q: %s", c.Command, c.Args(), out)}
	if !out.OK() {
		e.Error = out.String()
	}
	a.journal.add(e)
}

// tellEvent hands an event on to the site's command.
func (a *Agent) tellEvent(e Event) {
	if !a.commands.runner.Has(hook.Event) {
		return
	}
	c := a.call(hook.Event, a.board.Read().Record)
	c.Action, c.Text = e.Action, e.Text
	c.Event, _ = json.Marshal(e) // our own plain struct always encodes
	a.commands.runner.Post(c)
}
