package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// link is wire.Link over the simulated network: the same rhythm of heartbeats,
// reports, silence and attempts, without bytes.
type link struct {
	proc  *process
	clock procClock
	to    string
	cfg   wire.LinkConfig
	state wire.LinkState
	conn  *conn

	wake             chan struct{}
	tried            chan struct{} // closed at the end of the first attempt
	kicked, answered bool
	waiting, again   bool
}

func newLink(p *process, to string, cfg wire.LinkConfig) *link {
	return &link{proc: p, clock: procClock{p.w, p}, to: to, cfg: cfg, wake: make(chan struct{}, 1), tried: make(chan struct{})}
}

func (l *link) State() wire.LinkState {
	l.proc.enter()
	return l.state
}

func (l *link) Kick() {
	l.proc.enter()
	l.kicked = true
	l.rouse()
}

func (l *link) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Call asks over the present connection; it waits for the first attempt only.
func (l *link) Call(ctx context.Context, kind string, request, answer any) error {
	l.clock.Wait(ctx, l.cfg.Timeout, l.tried)
	c := l.conn
	if c == nil || !c.here {
		return fmt.Errorf("%s to %s: %w: not connected", kind, l.to, wire.ErrNoAnswer)
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if q, is := request.(wire.ChangeRequest); is && q.Change.Transition == record.HandOver {
		l.proc.w.ledger.handsOver(q.Change.By)
	}
	id, k := c.ask(kind, body)
	if !l.clock.Wait(ctx, -1, k.answered) {
		delete(c.calls, id)
		return fmt.Errorf("%s: %w: %w", kind, wire.ErrNoAnswer, context.Cause(ctx))
	}
	if w := l.proc.w; w.chance(0.02) { // the machine is busy: the answer is there, and nobody looks at it yet
		l.clock.Wait(ctx, w.mostly(5*time.Millisecond, 3*time.Second), nil)
	}
	if k.err != nil {
		return fmt.Errorf("%s: %w", kind, k.err)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(k.body, answer); err != nil {
		return fmt.Errorf("%s: %w: %w", kind, wire.ErrNoAnswer, err)
	}
	return nil
}

// Run keeps the connection.
func (l *link) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		l.clock.Wait(ctx, l.once(ctx), nil)
	}
	return nil
}

const refusedPause = 50 * time.Millisecond

func (l *link) once(ctx context.Context) time.Duration {
	c, refused := l.dial(ctx)
	select {
	case <-l.tried:
	default:
		close(l.tried)
	}
	if c == nil {
		l.update(func(s *wire.LinkState) {
			s.Refused, s.Error = refused, "no connection"
			if refused {
				s.Error = "connection refused"
			}
		})
		if refused {
			return refusedPause
		}
		return l.cfg.Interval
	}
	since := l.clock.Now()
	l.conn = c
	l.update(func(s *wire.LinkState) { s.Refused = false })
	l.stay(ctx, c)
	c.closeHere()
	heard := l.state.Connected
	l.conn = nil
	l.update(func(s *wire.LinkState) { s.Connected, s.Error = false, "the connection was lost" })
	if heard && l.clock.Now()-since > l.cfg.Interval {
		return 0
	}
	return l.cfg.Interval
}

// dial waits for a connection until the timeout; a host that answers refuses at once
// when no process listens.
func (l *link) dial(ctx context.Context) (c *conn, refused bool) {
	w := l.proc.w
	from := l.proc.host.name
	for end := l.clock.Now() + l.cfg.Timeout; l.clock.Now() < end && ctx.Err() == nil; {
		l.clock.Wait(ctx, 2*w.delay(), nil)
		if !w.cut(from, l.to) && !w.cut(l.to, from) && !w.hostDown(l.to) && !w.host(l.to).asleep {
			s := w.listener(l.to)
			if s == nil {
				return nil, true
			}
			if !s.frozen() {
				return w.connect(l, s), false
			}
		}
		l.clock.Wait(ctx, retransmit, nil)
	}
	return nil, false
}

func (w *World) connect(l *link, s *server) *conn {
	c := &conn{w: w, from: l.proc.host.name, to: l.to, client: l, server: s, here: true, there: true, calls: map[int]*call{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	l.proc.remember(c)
	s.remember(c)
	return c
}

// remember keeps the connections that are still of use.
func (p *process) remember(c *conn) {
	kept := p.conns[:0]
	for _, old := range p.conns {
		if old.here || old.there {
			kept = append(kept, old)
		}
	}
	p.conns = append(kept, c)
}

// stay sends heartbeats until the connection ends.
func (l *link) stay(ctx context.Context, c *conn) {
	l.waiting, l.again, l.answered, l.kicked = false, false, false, false
	opened := l.clock.Now()
	tick := l.clock.Now() + wire.TickAfter(l.clock.Now(), l.cfg.Interval)
	for due := true; ctx.Err() == nil; {
		if due {
			l.beat(c)
		}
		due = false
		now := l.clock.Now()
		silent := max(l.state.LastHeard, opened) + l.cfg.Timeout
		if !c.here || now >= silent {
			return
		}
		l.clock.Wait(ctx, min(tick, silent)-now, l.wake)
		if now = l.clock.Now(); now >= tick {
			due = true
			tick = now + wire.TickAfter(now, l.cfg.Interval)
		}
		if l.kicked {
			l.kicked = false
			due, l.again = due || !l.waiting, l.again || l.waiting
		}
		if l.answered {
			l.answered = false
			due, l.again, l.waiting = due || l.again, false, false
		}
	}
}

func (l *link) beat(c *conn) {
	if !l.waiting {
		if kind, body := l.cfg.Beat(); body != nil {
			text, err := json.Marshal(body)
			if err != nil {
				panic(err)
			}
			l.waiting = true
			c.toServer(func() { c.report(kind, text) })
			return
		}
	}
	asking := !l.state.Connected || l.clock.Now()-l.state.LastHeard+l.cfg.Interval/2 >= l.cfg.Timeout/2
	c.toServer(func() { c.bare(asking) })
}

// report is handled at once, before anything behind it.
func (c *conn) report(kind string, text json.RawMessage) {
	c.adopt()
	got, err := c.server.handler.Handle(c.ctx, wire.Identity{Pair: pairName, Name: c.from}, kind, text)
	body, bad := json.Marshal(got)
	if bad != nil {
		panic(bad)
	}
	c.toClient(func() {
		l := c.client
		l.heard(false, false)
		if err == nil && l.cfg.Answer != nil {
			l.cfg.Answer(kind, body)
		}
		l.update(func(s *wire.LinkState) {
			s.Error = ""
			if err != nil {
				s.Error = err.Error()
			}
		})
		l.answered = true
		l.rouse()
	})
}

func (c *conn) adopt() {
	s := c.server
	if older := s.beating[c.from]; older != c {
		s.beating[c.from] = c
		if older != nil {
			older.closeThere()
		}
	}
}

func (c *conn) bare(asking bool) {
	c.adopt()
	from := wire.Identity{Pair: pairName, Name: c.from}
	news := c.server.handler.Beat(from, procClock{c.w, c.server.process}.Now())
	if news || asking {
		c.toClient(func() { c.client.heard(!news, news) })
	}
}

// heard notes a frame of the other side: a bare heartbeat, a nudge or an answer.
func (l *link) heard(bare, nudged bool) {
	l.update(func(s *wire.LinkState) {
		s.LastHeard = l.clock.Now()
		if !s.Connected {
			s.Connected, s.Error = true, ""
		}
	})
	if l.cfg.Heard != nil && (bare || nudged) {
		l.cfg.Heard(nudged)
	}
	if nudged {
		l.Kick()
	}
}

func (l *link) update(change func(*wire.LinkState)) {
	was := l.state
	change(&l.state)
	is := l.state
	was.LastHeard, is.LastHeard = 0, 0
	if was != is && l.cfg.Changed != nil {
		l.cfg.Changed()
	}
}
