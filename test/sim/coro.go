package sim

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"time"
)

// coro is a piece of work of a process: real code that runs until it waits. Waiting
// hands control back to the world, so that only one runs at a time, in an order
// that the seed alone decides.
type coro struct {
	proc *process
	name string
	next func() (struct{}, bool)
	stop func()
	give func(struct{}) bool

	// What it waits for.
	due   time.Duration // active time; negative: no limit
	ctx   context.Context
	wake  <-chan struct{}
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
	c := &coro{proc: p, name: name, due: w.now}
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
	w.coros = append(w.coros, c)
	if len(w.coros) > mostWork {
		w.breaks("L0", "%d pieces of work at once, the last one %s: %s", len(w.coros), p.name, name)
	}
	p.coros = append(p.coros, c)
}

// ready reports whether it need not wait any longer.
func (c *coro) ready(now time.Duration) bool {
	if c.wake != nil {
		select {
		case <-c.wake:
			c.woken = true
			return true
		default:
		}
	}
	return c.due >= 0 && c.due <= now || c.ctx != nil && c.ctx.Err() != nil
}

// runReady lets every coroutine go on that can, in turn, until all of them wait.
func (w *World) runReady() {
	for i, waiting := 0, 0; waiting < len(w.coros) && w.broken == nil; i++ {
		if i >= len(w.coros) {
			i = 0
		}
		c := w.coros[i]
		if c.ended || c.proc.dead || c.proc.frozen() || !c.ready(w.now) {
			waiting++
			continue
		}
		waiting = 0
		w.resume(c)
	}
	if w.ended {
		w.sweep()
	}
}

func (w *World) resume(c *coro) {
	before := w.running
	w.running = c
	c.due, c.ctx, c.wake = -1, nil, nil
	if _, more := c.next(); !more {
		c.ended, w.ended = true, true
	}
	w.running = before
}

// sweep forgets the ones that have ended.
func (w *World) sweep() {
	w.ended = false
	kept := w.coros[:0]
	for _, c := range w.coros {
		if !c.ended && !c.proc.dead {
			kept = append(kept, c)
		}
	}
	clear(w.coros[len(kept):])
	w.coros = kept
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
	c.woken, c.ctx, c.wake, c.due = false, ctx, wake, -1
	if d >= 0 {
		c.due = w.now + d
	}
	if !c.give(struct{}{}) || p.dead {
		panic(killed{})
	}
	return c.woken
}
