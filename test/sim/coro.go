package sim

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"time"
)

// coro is a piece of work of a process: real code that runs until it waits. Waiting
// hands control back to the world, so that only one runs at a time, in an order
// that the seed alone decides.
type coro struct {
	proc   *process
	name   string
	number int // in the order of their beginnings
	next   func() (struct{}, bool)
	stop   func()
	give   func(struct{}) bool

	// What it waits for.
	due   time.Duration // active time; negative: no limit
	ctx   context.Context
	wake  <-chan struct{}
	token bool // the channel has room, and is never closed then
	woken bool
	ended bool
}

// mostWork is how much may be under way at once in the whole pair.
const mostWork = 1000

// killed ends a coroutine whose process is dead, by way of its deferred calls.
type killed struct{}

// begin makes a coroutine; it runs when the world comes to it.
func (w *World) begin(p *process, name string, work func()) {
	if name != "timer" {
		w.lastWork = w.now
	}
	w.begun++
	c := &coro{proc: p, name: name, number: w.begun, due: w.now}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.give = yield
		defer func() {
			c.ended = true
			if r := recover(); r != nil {
				if _, dead := r.(killed); !dead {
					panic(fmt.Sprintf("%s, %s: %v\n%s", p.name, name, r, debug.Stack())) // iter.Pull would drop the stack
				}
			}
		}()
		work()
	})
	p.coros = append(p.coros, c)
	p.stirred = true
	n := 0
	for _, p := range w.procs {
		n += len(p.coros)
	}
	if n > mostWork {
		w.breaks("L0", "%d pieces of work at once, the last one %s: %s", n, p.name, name)
	}
}

// ready reports whether it need not wait any longer.
func (c *coro) ready(now time.Duration) bool {
	return c.wakes() || c.due >= 0 && c.due <= now || c.ctx != nil && c.ctx.Err() != nil
}

// wakes takes what it is woken by, if that has come. Nearly always it has not, which the
// length of a channel tells sooner than a look into it.
func (c *coro) wakes() bool {
	if c.wake == nil || c.token && len(c.wake) == 0 {
		return false
	}
	select {
	case <-c.wake:
		c.woken = true
		return true
	default:
		return false
	}
}

// runReady lets every coroutine go on that can, in turn, until all of them wait.
func (w *World) runReady() {
	for last := 0; w.broken == nil; {
		c := w.nextReady(last)
		if c == nil {
			return
		}
		last = c.number
		w.resume(c)
	}
}

// nextReady is the coroutine whose turn it is after that one; nil when all of them wait.
func (w *World) nextReady(last int) *coro {
	turns := w.turns()
	first := 0
	for first < len(turns) && turns[first].number <= last {
		first++
	}
	for _, part := range [][]*coro{turns[first:], turns[:first]} {
		for _, c := range part {
			if c.ready(w.now) {
				return c
			}
		}
	}
	for _, p := range w.procs {
		if !p.rests() {
			p.rest()
		}
		if w.wary && !p.frozen() && slices.ContainsFunc(p.coros, func(c *coro) bool { return c.ready(w.now) }) {
			panic("sim: a coroutine of " + p.name + " can go on, and nothing has stirred it")
		}
	}
	return nil
}

// turns are the coroutines of all processes that do not rest, in the order in which
// they began. Nearly always it is one process.
func (w *World) turns() (all []*coro) {
	for _, p := range w.procs {
		switch {
		case p.rests():
		case all == nil:
			all = p.coros
		default:
			all = slices.Concat(all, p.coros)
			slices.SortFunc(all, func(a, b *coro) int { return a.number - b.number })
		}
	}
	return all
}

func (w *World) resume(c *coro) {
	before := w.running
	w.running = c
	c.due, c.ctx, c.wake = -1, nil, nil
	c.proc.stirred = true
	if _, more := c.next(); !more {
		c.ended = true
		c.proc.forget(c)
	}
	w.running = before
}

// wait parks the running coroutine.
func (w *World) wait(p *process, ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	p.enter()
	c := w.running
	if c == nil || c.proc != p {
		panic("sim: something waits outside of its process")
	}
	if wake != nil {
		select {
		case <-wake:
			return true
		default:
		}
	}
	if ctx != nil && ctx.Err() != nil {
		return false
	}
	c.woken, c.ctx, c.wake, c.token, c.due = false, ctx, wake, cap(wake) > 0, -1
	if d >= 0 {
		c.due = w.now + d
	}
	if !c.give(struct{}{}) || p.dead {
		panic(killed{})
	}
	return c.woken
}
