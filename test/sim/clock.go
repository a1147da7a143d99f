package sim

import (
	"context"
	"sync"
	"time"
)

// procClock is a host's clock as a process on it reads it: it has an offset and a rate
// of its own, and may have stood still while the host was suspended.
type procClock struct {
	w *World
	p *process
}

func (c procClock) Now() time.Duration {
	return c.p.host.local(c.w.now)
}

// world turns a duration by this clock into the world's.
func (c procClock) world(d time.Duration) time.Duration {
	if d < 0 {
		return d
	}
	return time.Duration(float64(d)/c.p.host.rate) + 2 // never too early by a rounding
}

func (c procClock) Wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	return c.w.wait(c.p, ctx, c.world(d), wake)
}

func (c procClock) Timeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	c.p.enter()
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	inner, cancel := context.WithCancelCause(ctx)
	e := c.w.after(c.world(d), func() {
		c.p.stirred = true
		cancel(cause)
	})
	return inner, func() {
		e.cancel()
		cancel(context.Canceled)
	}
}

func (c procClock) After(d time.Duration, do func()) func() {
	c.p.enter()
	e := c.w.after(c.world(d), func() {
		if !c.p.dead {
			c.w.begin(c.p, "timer", do)
		}
	})
	return e.cancel
}

func (c procClock) Mutex() sync.Locker { return &mutex{clock: c, free: make(chan struct{}, 1)} }

// mutex may be held while its holder waits.
type mutex struct {
	clock procClock
	held  bool
	free  chan struct{}
}

func (m *mutex) Lock() {
	for m.held {
		m.clock.Wait(context.Background(), -1, m.free)
	}
	m.held = true
}

func (m *mutex) Unlock() {
	m.held = false
	select {
	case m.free <- struct{}{}:
	default:
	}
}
