package sim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/agent"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
	"mcctl/pkg/witness"
)

// planted are bugs of the product, made in the seams between it and the world. Each
// must be found within so many seeds; else the simulator looks at nothing.
var planted = []struct {
	name   string
	seeds  uint64
	breaks string // the promise; empty for any
	bugs   bugs
}{
	{"attach without the proof of names", 80, "S1", bugs{follows: true, inWorld: func(n *node, w *agent.World) { w.Postgres = believing{w.Postgres} }}},
	{"the pledge is not saved", 80, "", bugs{forget: func(file string, v any) bool {
		r, is := v.(record.Record)
		return is && file == mcdir+"/record.json" && r.Mode == pair.Paired
	}}},
	{"the witness answers before its disk", 80, "S3", bugs{forget: func(file string, v any) bool {
		r, is := v.(record.Record)
		return is && file == recordOfWitness && r.Revision > 3
	}}},
	{"a found record is paired", 80, "S1", bugs{asked: func(w *World, wit *witness.Witness) handler { return hopeful{wit, w} }}},
	{"no answer is taken for yes", 80, "S3", onLink(func(l *link) agent.Link { return sanguine{l, ""} })},
	{"a standby takes over without the keeper", 80, "S3", onLink(func(l *link) agent.Link { return sanguine{l, record.Failover} })},
	{"names first, then the record", 80, "", onLink(func(l *link) agent.Link { return hasty{l} })},
	{"no gate", 400, "S3", bugs{follows: true, inWorld: func(n *node, w *agent.World) { w.Site = gateless{w.Site.(site)} }}},
	{"PostgreSQL starts anew by itself", 80, "S3", bugs{restarts: true}},
	{"no comparison of revisions", 80, "S1", bugs{follows: true, asked: func(w *World, wit *witness.Witness) handler { return careless{wit, w} }}},
	{"attach and gate do not wait for the standby's flush", 80, "S1", bugs{follows: true, inWorld: func(n *node, w *agent.World) { w.Postgres = optimist{w.Postgres} }}},
	{"attach and gate wait for nothing", 80, "S1", bugs{follows: true, inWorld: func(n *node, w *agent.World) { w.Postgres = optimist{believing{w.Postgres}} }}},
	{"the own copy is never written", 80, "S3", bugs{follows: true, forget: func(file string, v any) bool {
		r, is := v.(record.Record)
		return is && file == mcdir+"/record.json" && r.Revision > 3
	}}},
	{"commits are never waited for", 80, "S2", bugs{inWorld: func(n *node, w *agent.World) {
		w.Site, w.Postgres = lax{w.Site.(site)}, believing{w.Postgres}
	}}},
	{"a take-over while the record says alone", 80, "S1", bugs{asked: func(w *World, wit *witness.Witness) handler { return generous{wit, w} }}},
	{"rejoin from a primary that is not open", 80, "S4", bugs{follows: true, anySource: true, heard: func(n *node, a *agent.Agent) handler { return credulous{a, n} }}},
	{"a switch does not wait for the standby", 80, "S1", onLink(func(l *link) agent.Link { return hurried{l} })},
	{"a lost connection is not noticed", 80, "L1", bugs{tune: deserted, overLink: func(l *link) agent.Link { return trusting{l} }}},
	{"the names are never taken out", 80, "L1", bugs{tune: deserted, inWorld: func(n *node, w *agent.World) { w.Site = clinging{w.Site.(site)} }}},
	{"retired in name only", 80, "L2", onPostgres(func(n *node, p agent.Postgres) agent.Postgres { return nominal{p, n} })},
	{"a fencing that failed counts", 80, "", bugs{tune: byCommand, inWorld: func(n *node, w *agent.World) { w.Command = obliging }}},
	{"a promotion is not asked for again", 80, "", onPostgres(func(n *node, p agent.Postgres) agent.Postgres { return &shy{Postgres: p} })},
	{"etcd: no answer is taken for yes", 80, "", onEtcd(func(n *node, under http.RoundTripper) http.RoundTripper {
		return mistake{under: lossy{n, under}, silent: sure}
	})},
	{"etcd: a change compares nothing", 80, "", bugs{tune: longCut, inWorld: func(n *node, w *agent.World) {
		w.Web = mistake{under: slow{n, w.Web}, txn: comparesNothing}
	}}},
	{"etcd: a found record is paired", 80, "S1", bugs{tune: forgetful, inWorld: func(n *node, w *agent.World) { w.Web = mistake{under: w.Web, txn: foundPaired} }}},
	{"etcd: a record older than what is known is judged by", 80, "", overEtcd(mistake{ranged: takenForNew})},
	{"etcd: a lease that ran out still counts", 160, "L1", bugs{tune: func(w *World) { byEtcd(w); deserted(w) }, inWorld: func(n *node, w *agent.World) { w.Web = immortal(n, w.Web) }}},
	{"etcd: an answer of an ended session is believed", 80, "", bugs{tune: longCut, inWorld: func(n *node, w *agent.World) {
		w.Web = tardy{n, &undying{n: n, under: w.Web}}
	}}},
	{"what is read is not synced", 80, "S3", bugs{follows: true, unsynced: true}},
	{"a witness judges by a record that is older than what is known", 80, "L2", bugs{tune: restored, asked: func(w *World, wit *witness.Witness) handler { return trustful{wit, w} }}},
	{"a witness begins with an old record", 80, "S3: the record went back", bugs{asked: nostalgic}},
	{"replay is not resumed", 80, "L2", onPostgres(func(n *node, p agent.Postgres) agent.Postgres { return sleepy{p} })},
}

// TestPlantedBugsAreFound is the proof that the checkers see anything.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, b := range planted {
		t.Run(b.name, func(t *testing.T) {
			var mu sync.Mutex
			var found Outcome
			each(1, b.seeds, func(seed uint64) bool {
				w := newWorld(seed, b.bugs)
				if b.bugs.follows {
					w.plan.follows, w.plan.lateReload, w.plan.pace, w.plan.gap = 0.9, 4*time.Second, 20*time.Millisecond, 20*time.Second
					w.plan.kinds = allFaults()
				}
				if b.bugs.tune != nil {
					b.bugs.tune(w)
				}
				o := run(w, 15*time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if o.Err != nil && strings.HasPrefix(o.Err.Error(), b.breaks) && (found.Err == nil || o.Seed < found.Seed) {
					found = o
				}
				return found.Err == nil
			})
			if found.Err == nil {
				t.Fatalf("not found within %d seeds", b.seeds)
			}
			t.Logf("seed %d: %v", found.Seed, found.Err)
		})
	}
}

func onPostgres(wrap func(*node, agent.Postgres) agent.Postgres) bugs {
	return bugs{inWorld: func(n *node, w *agent.World) { w.Postgres = wrap(n, w.Postgres) }}
}

func onLink(wrap func(*link) agent.Link) bugs { return bugs{overLink: wrap} }

type believing struct{ agent.Postgres }

type noCanary struct{}

func (noCanary) InForce() bool                { return true }
func (noCanary) Finish(context.Context) error { return nil }

func (believing) StartCanary(context.Context) (act.Canary, error) { return noCanary{}, nil }

// nostalgic puts the pair's first record back.
func nostalgic(w *World, wit *witness.Witness) handler {
	if r, known := w.record(); known && r.Term > 1 {
		p := &process{w: w, host: w.wit.host}
		_ = procDisk{p.host.disk, p}.WriteJSON(recordOfWitness, record.First(pairName, "server1"), 0o600)
	}
	return wit
}

type sleepy struct{ agent.Postgres }

type asleep struct{ act.Session }

func (p sleepy) Connect(ctx context.Context) (act.Session, error) {
	s, err := p.Postgres.Connect(ctx)
	return asleep{s}, err
}

func (asleep) ResumeReplay(context.Context) error { return nil }

type gateless struct{ site }

func (s gateless) CloseGate() (act.Gate, error) { return act.Gate{HBAFile: "gate"}, s.TurnGate() }

// attach has the witness write a paired record that the primary did not ask for.
func attach(ctx context.Context, wit *witness.Witness, r record.Record) {
	body, _ := json.Marshal(wire.ChangeRequest{Change: record.Change{Transition: record.Attach, By: r.Primary, To: r.Primary, From: r.Revision}})
	_, _ = wit.Handle(ctx, wire.Identity{Pair: pairName, Name: string(r.Primary)}, wire.KindChange, body)
}

type hopeful struct {
	*witness.Witness
	w *World
}

func (h hopeful) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	_, before := h.w.record()
	got, err := h.Witness.Handle(ctx, from, kind, body)
	if r, known := h.w.record(); known && !before {
		attach(ctx, h.Witness, r)
	}
	return got, err
}

// sanguine takes what is no yes for one: any change that got no answer, as many do, or
// one kind.
type sanguine struct {
	*link
	only record.Transition
}

func (s sanguine) Call(ctx context.Context, kind string, request, answer any) error {
	q, change := request.(wire.ChangeRequest)
	err := wire.ErrNoAnswer
	if lost := change && s.only == "" && s.proc.w.chance(0.3); !lost {
		err = s.link.Call(ctx, kind, request, answer)
	}
	if !change || err == nil || s.only == "" && !errors.Is(err, wire.ErrNoAnswer) || s.only != "" && q.Change.Transition != s.only {
		return err
	}
	r := s.proc.host.disk.record(mcdir + "/record.json")
	r.Revision = q.Change.From
	next, bad := r.Apply(q.Change)
	if bad != nil {
		return err
	}
	*answer.(*record.Record) = next
	return nil
}

// hasty takes the names away before it asks.
type hasty struct{ *link }

func (h hasty) Call(ctx context.Context, kind string, request, answer any) error {
	if q, change := request.(wire.ChangeRequest); change && q.Change.Transition == record.Detach {
		for _, n := range h.proc.w.nodes {
			if n.host == h.proc.host && n.data.pm != nil {
				n.data.conf.Wait = false
				n.data.pm.reload()
				h.clock.Wait(ctx, 300*time.Millisecond, nil)
			}
		}
	}
	return h.link.Call(ctx, kind, request, answer)
}

// shy asks for a promotion once.
type shy struct {
	agent.Postgres
	asked int
}

func (s *shy) AskPromotion(pid int) error {
	if s.asked == pid {
		return nil
	}
	s.asked = pid
	return s.Postgres.AskPromotion(pid)
}

type optimist struct{ agent.Postgres }

type optimistic struct{ act.Session }

func (p optimist) Connect(ctx context.Context) (act.Session, error) {
	s, err := p.Postgres.Connect(ctx)
	return optimistic{s}, err
}

func (s optimistic) Look(ctx context.Context, peer string) (postgres.Look, error) {
	l, err := s.Session.Look(ctx, peer)
	if l.Peer == nil {
		l.Peer = &postgres.Sender{State: "streaming"}
	}
	l.Peer.Flush = l.Insert
	return l, err
}

// careless takes its time with a change, and applies it to whatever the record has become.
type careless struct {
	*witness.Witness
	w *World
}

func (c careless) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	if kind == wire.KindChange && c.w.chance(0.5) {
		procClock{c.w, c.w.wit.server.process}.Wait(context.Background(), c.w.between(0, 5*time.Second), nil)
	}
	var q wire.ChangeRequest
	if r, known := c.w.record(); known && kind == wire.KindChange && json.Unmarshal(body, &q) == nil {
		q.Change.From = r.Revision
		body, _ = json.Marshal(q)
	}
	return c.Witness.Handle(ctx, from, kind, body)
}

// lax says that names are in force which are not.
type lax struct{ site }

func (s lax) Edit(ctx context.Context, w settings.Wanted) ([]settings.Fault, error) {
	_, err := s.site.Edit(ctx, w)
	if s.pm != nil && w.Upstream == "" {
		s.pm.flag = false
		s.conf.Wait = false
		s.pm.sessions.Wait = w.Wait
	}
	return nil, err
}
