package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/wire"
)

// handler is what listens: a supervisor or the witness (wire.Handler).
type handler interface {
	Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error)
	Beat(from wire.Identity, at time.Duration) (news bool)
	Gone(from wire.Identity)
}

// server is a process that listens; beating are the connections that carry
// heartbeats, one for each who calls.
type server struct {
	*process
	handler handler
	beating map[string]*conn
}

// conn is one connection, as both ends see it: an end learns of the other's only
// after the message of that has arrived, or by silence.
type conn struct {
	w        *World
	from, to string
	client   *link
	server   *server
	here     bool // the client's end is open
	there    bool // the server's end is
	ctx      context.Context
	cancel   context.CancelFunc
	calls    map[int]*call
	last     int
}

type call struct {
	answered chan struct{}
	body     json.RawMessage
	err      error
}

// toServer brings a frame there. What has been sent arrives also when the client has
// died meanwhile.
func (c *conn) toServer(arrive func()) {
	c.w.carry(c.from, c.to, func() bool { return c.here && c.there }, func() {
		if c.there && !c.server.dead {
			c.w.thawed(c.server.process, arrive)
		}
	})
}

func (c *conn) toClient(arrive func()) {
	c.w.carry(c.to, c.from, func() bool { return c.here && c.there }, func() {
		if c.here {
			c.w.thawed(c.client.proc, arrive)
		}
	})
}

// thawed has do happen when the process runs, unless it dies before.
func (w *World) thawed(p *process, do func()) {
	switch {
	case p.dead:
	case p.frozen():
		w.after(50*time.Millisecond, func() { w.thawed(p, do) })
	default:
		p.guard(do)
	}
}

// closeHere ends the client's end; the server hears of it if the network lets it.
func (c *conn) closeHere() {
	if !c.here {
		return
	}
	c.here = false
	c.client.proc.stirred = true
	for _, k := range c.inOrder() {
		k.err = fmt.Errorf("%w: the connection was lost", wire.ErrNoAnswer)
		close(k.answered)
	}
	c.calls = nil
	c.farewell(c.from, c.to, c.closeThere)
}

// closeThere ends the server's end.
func (c *conn) closeThere() {
	if !c.there {
		return
	}
	c.there = false
	c.server.stirred = true
	c.cancel()
	if c.server.beating[c.from] == c {
		delete(c.server.beating, c.from)
		c.server.guard(func() { c.server.handler.Gone(wire.Identity{Pair: pairName, Name: c.from}) })
	}
	c.farewell(c.to, c.from, c.closeHere)
}

// farewell tells the other end, or lets its own timeouts find out.
func (c *conn) farewell(from, to string, close func()) {
	if c.w.cut(from, to) || c.w.hostDown(from) || c.w.hostDown(to) {
		c.w.after(c.w.between(2*time.Second, 4*time.Second), close) // keep-alive, user timeout
		return
	}
	c.w.after(c.w.delay(), func() { c.w.arrive(to, close) })
}

// processDied: the kernel closes what a dead process had open.
func (c *conn) processDied(p *process) {
	if c.client.proc == p {
		c.closeHere()
	} else {
		c.closeThere()
	}
}

func (c *conn) inOrder() (all []*call) {
	for id := 1; id <= c.last; id++ {
		if k := c.calls[id]; k != nil {
			all = append(all, k)
		}
	}
	return all
}

// ask carries a call there and its answer back.
func (c *conn) ask(kind string, body json.RawMessage) (int, *call) {
	c.last++
	id, k := c.last, &call{answered: make(chan struct{})}
	c.calls[id] = k
	times := 1
	if kind == wire.KindChange && c.w.plan.duplicates && c.w.chance(0.05) {
		times = 2
	}
	for range times {
		c.toServer(func() { c.serve(kind, body, func(answer json.RawMessage, err error) { c.answer(id, answer, err) }) })
	}
	return id, k
}

// serve runs the request beside everything else there.
func (c *conn) serve(kind string, body json.RawMessage, answer func(json.RawMessage, error)) {
	c.w.begin(c.server.process, "serve "+kind, func() {
		got, err := c.server.handler.Handle(c.ctx, wire.Identity{Pair: pairName, Name: c.from}, kind, body)
		c.server.enter()
		text, bad := json.Marshal(got)
		err = errors.Join(err, bad)
		c.toClient(func() { answer(text, err) })
	})
}

func (c *conn) answer(id int, body json.RawMessage, err error) {
	c.client.heard(false, false)
	k := c.calls[id]
	if k == nil {
		return
	}
	delete(c.calls, id)
	if k.body = body; err != nil {
		k.err = wire.Carried(err)
	}
	close(k.answered)
}
