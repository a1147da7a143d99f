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
	queue   queue      // by active time
	planned queue      // by the calendar: what breaks and is mended
	procs   []*process // those that live
	begun   int        // coroutines so far
	running *coro
	wary    bool // look at those who rest as well (TestNobodyIsOverlooked)

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
	healed   bool // no more faults
	service  service

	lastWork    time.Duration
	newest      record.Record // as record() found it last
	recordStale bool
}

// never is later than anything.
const never = time.Duration(1<<62 - 1)

// after has do happen in d. It is the only way anything happens later by itself.
func (w *World) after(d time.Duration, do func()) *event {
	e := &event{do: do}
	w.put(e, d)
	return e
}

// put has an event, which is not in the queue, happen in d.
func (w *World) put(e *event, d time.Duration) {
	w.seq++
	e.at, e.seq = w.now+max(d, 0), w.seq
	w.queue.push(e)
}

// plans has do happen in d of the calendar.
func (w *World) plans(d time.Duration, do func()) {
	w.seq++
	w.planned.push(&event{at: w.calendar() + d, seq: w.seq, do: do})
}

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
	switch {
	case w.planned.first() <= w.calendar():
		w.planned.pop().do()
	case w.queue.first() <= w.now:
		w.queue.pop().do()
	}
}

func (w *World) nextTime() time.Duration {
	next := min(w.queue.first(), w.planned.first()-w.skipped)
	for _, p := range w.procs {
		if !p.frozen() {
			next = min(next, p.due)
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
