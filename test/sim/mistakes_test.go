package sim

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"mcctl/pkg/agent"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
	"mcctl/pkg/witness"
)

// Mistakes that several rules together keep away: each of these leaves out all of them.

// generous lets a standby take over from any record, and lets it believe that it may:
// while it knows that the record says alone, it does not ask.
type generous struct {
	*witness.Witness
	w *World
}

func (g generous) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	var q wire.ChangeRequest
	r, known := g.w.record()
	standby := known && string(r.Primary) != from.Name
	if standby && kind == wire.KindChange && json.Unmarshal(body, &q) == nil && q.Change.Transition == record.Failover && r.Mode == pair.Alone {
		attach(ctx, g.Witness, r)
		q.Change.From = r.Revision + 1
		body, _ = json.Marshal(q)
	}
	got, err := g.Witness.Handle(ctx, from, kind, body)
	if view, is := got.(wire.WitnessView); is && standby {
		view.Record.Mode = pair.Paired
		got = view
	}
	return got, err
}

// trustful goes by the record that it has, whatever the servers know.
type trustful struct {
	*witness.Witness
	w *World
}

func (t trustful) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	var r wire.WitnessReport
	if has := t.w.wit.host.disk.record(recordOfWitness); has.Exists() && kind == wire.KindReport && json.Unmarshal(body, &r) == nil {
		r.Known = has
		body, _ = json.Marshal(r)
	}
	return t.Witness.Handle(ctx, from, kind, body)
}

// restored has the witness's record come back from a backup now and then.
func restored(w *World) {
	w.plan.alone, w.plan.commands, w.plan.etcd = false, false, false
	for _, n := range w.nodes {
		n.config = w.configure(string(n.me))
	}
	w.plan.kinds = append(w.plan.kinds, witnessFaults()...)
}

// credulous takes a primary for open whatever it says: its reports and its answer
// about its history say so, and pg_rewind is not asked (bugs.anySource).
type credulous struct {
	*agent.Agent
	n *node
}

func (c credulous) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	switch kind {
	case wire.KindReport:
		var r wire.Report
		if json.Unmarshal(body, &r) == nil && r.Record.Primary == r.Server {
			r.Postgres = wire.ReportOpen
			body, _ = json.Marshal(r)
		}
	case wire.KindHistory:
		return c.history(), nil
	}
	return c.Agent.Handle(ctx, from, kind, body)
}

func (c credulous) history() wire.HistoryAnswer {
	s, _ := c.Sight()
	d := c.n.data
	a := wire.HistoryAnswer{Record: s.Record, SystemID: systemID, Timeline: d.log.tl, CheckpointTimeline: d.control.Timeline, Insert: d.log.insertAt()}
	for _, f := range d.log.forks {
		a.Forks = append(a.Forks, wire.Fork{Timeline: f.Timeline, LSN: f.LSN})
	}
	if d.pm != nil && d.pm.recovery { // as it will be
		a.Forks = append(a.Forks, wire.Fork{Timeline: a.Timeline, LSN: a.Insert})
		a.Timeline++
		a.CheckpointTimeline = a.Timeline
	}
	return a
}

// hurried hands over without asking what the standby holds.
type hurried struct{ *link }

func (h hurried) Call(ctx context.Context, kind string, request, answer any) error {
	if kind == wire.KindHolds {
		*answer.(*wire.HoldsAnswer) = wire.HoldsAnswer{Holds: true}
		return nil
	}
	return h.link.Call(ctx, kind, request, answer)
}

// trusting never finds the other server silent again, once it was heard.
type trusting struct{ *link }

func (t trusting) State() wire.LinkState {
	s := t.link.State()
	if s.LastHeard > 0 && t.to != arbName {
		s.Connected, s.Refused, s.LastHeard = true, false, t.clock.Now()
	}
	return s
}

// clinging leaves the names in place, whatever is written, and finds that right.
type clinging struct{ site }

func (s clinging) Edit(ctx context.Context, w settings.Wanted) ([]settings.Fault, error) {
	w.Wait = w.Wait || s.conf.Wait
	return s.site.Edit(ctx, w)
}

func (s clinging) Faults(w settings.Wanted) ([]settings.Fault, error) {
	faults, err := s.site.Faults(w)
	return slices.DeleteFunc(faults, func(f settings.Fault) bool { return f.Name == settings.SyncNames }), err
}

// nominal says that PostgreSQL was stopped.
type nominal struct {
	agent.Postgres
	n *node
}

func (p nominal) Stop(ctx context.Context, _ int, _ postgres.StopMode) error {
	procClock{p.n.w, p.n.server.process}.Wait(ctx, 2*time.Second, nil)
	return nil
}

func (nominal) Kill(int) error { return nil }

// deserted has few faults, but servers that stay away for long.
func deserted(w *World) { w.plan.absent, w.plan.gap = 0.7, 3*time.Minute }

// byCommand has commands of the site arbitrate.
func byCommand(w *World) { byThemselves(w, true) }

// byNobody leaves the two servers to themselves.
func byNobody(w *World) { byThemselves(w, false) }

func byThemselves(w *World, commands bool) {
	w.plan.alone, w.plan.commands, w.plan.etcd = true, commands, false
	for _, n := range w.nodes {
		n.config = w.configure(string(n.me))
	}
}

// obliging says yes and does nothing.
func obliging(context.Context, hook.Call) hook.Outcome { return hook.Outcome{} }
