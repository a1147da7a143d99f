// Package sim is the whole pair in one deterministic simulation: the supervisors of
// package agent with their real loops, actions, table and watchers, the real witness
// and the real keepers of the record, in virtual time. What they stand on is modelled
// here: the network, the clocks, the disks and PostgreSQL. One seed draws everything,
// and a seed always gives the same trace.
//
// What is real and what is modelled stands in docs/simulator.md. Checkers (check.go,
// liveness.go) stand apart from the models: they see what clients were told and what
// lies on disks. It is run by its own tests and by make sim.
package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"mcctl/pkg/record"
)

// World is one simulated run. Everything in it happens one after the other: either an
// event of the queue, or a piece of some process between two of its waits.
type World struct {
	Seed    uint64
	rnd     *rand.Rand
	now     time.Duration // active time: what processes live through
	skipped time.Duration // calm time that was not computed
	seq     uint64
	queue   queue
	coros   []*coro
	running *coro
	ended   bool // some coroutine has ended since the last sweep

	plan     plan
	nodes    [2]*node
	clusters [2]*cluster
	wit      *witnessHost
	etcd     *etcd // on the same host
	cuts     map[way]bool
	ledger   *ledger
	trace    trace
	broken   error // the first promise that did not hold
	bugs     bugs
	faults   *faults
	service  service

	lastWork    time.Duration
	newest      record.Record // as record() found it last
	recordStale bool
}

// event is something that happens at a time. A cancelled one has no do.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// after has do happen in d. It is the only way anything happens later by itself.
func (w *World) after(d time.Duration, do func()) *event {
	w.seq++
	e := &event{at: w.now + max(d, 0), seq: w.seq, do: do}
	heap.Push(&w.queue, e)
	return e
}

func (e *event) cancel() { e.do = nil }

// calendar is the time that has passed, calm or not.
func (w *World) calendar() time.Duration { return w.now + w.skipped }

// until runs the world up to a time of the calendar, or until a promise is broken.
func (w *World) until(end time.Duration) {
	for w.broken == nil {
		w.runReady()
		next := w.nextTime()
		if next+w.skipped > end || w.broken != nil {
			w.now = max(w.now, end-w.skipped)
			return
		}
		w.now = max(w.now, next)
		w.pop()
	}
}

// pop performs one event that is due.
func (w *World) pop() {
	if len(w.queue) == 0 || w.queue[0].at > w.now {
		return
	}
	e := heap.Pop(&w.queue).(*event)
	if e.do != nil {
		e.do()
	}
}

func (w *World) nextTime() time.Duration {
	next := time.Duration(1<<62 - 1)
	for len(w.queue) > 0 && w.queue[0].do == nil {
		heap.Pop(&w.queue)
	}
	if len(w.queue) > 0 {
		next = w.queue[0].at
	}
	for _, c := range w.coros {
		if c.due >= 0 && c.due < next && !c.proc.frozen() {
			next = c.due
		}
	}
	return next
}

// chance is true once in a while.
func (w *World) chance(p float64) bool { return w.rnd.Float64() < p }

// between draws a duration, short ones as often as long ones.
func (w *World) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(w.rnd.Int64N(int64(most-least)))
}

// mostly draws a short time, now and then a long one.
func (w *World) mostly(usual, rare time.Duration) time.Duration {
	if w.chance(0.03) {
		return w.between(usual, rare)
	}
	return w.between(usual/4, usual)
}

// say writes a line of the trace.
func (w *World) say(who, format string, args ...any) {
	w.trace.add(w.calendar(), who, fmt.Sprintf(format, args...))
}

// breaks notes that a promise does not hold.
func (w *World) breaks(promise, format string, args ...any) {
	text := promise + ": " + fmt.Sprintf(format, args...)
	w.say("CHECK", "%s", text)
	if w.broken == nil {
		w.broken = fmt.Errorf("%s", text)
	}
}
