package sim

import "time"

// event is something that happens at a time. A cancelled one has no do.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (e *event) cancel() { e.do = nil }

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a heap of events: each comes before the two that hang on it, so that the next
// one is at the top. All that happens passes through it, and container/heap would reach
// every comparison by way of an interface.
type queue []*event

func (q *queue) push(e *event) {
	*q = append(*q, e)
	all, i := *q, len(*q)-1
	for up := (i - 1) / 2; i > 0 && e.before(all[up]); up = (i - 1) / 2 {
		all[i] = all[up]
		i = up
	}
	all[i] = e
}

// first is when the next event comes; never, if there is none.
func (q *queue) first() time.Duration {
	for len(*q) > 0 && (*q)[0].do == nil {
		q.pop()
	}
	if len(*q) == 0 {
		return never
	}
	return (*q)[0].at
}

// pop takes the next event out. The last one goes down from its place at the top.
func (q *queue) pop() *event {
	all := *q
	next, last := all[0], all[len(all)-1]
	all[len(all)-1] = nil
	all = all[:len(all)-1]
	*q = all
	i := 0
	for down := 1; down < len(all); down = 2*i + 1 {
		if right := down + 1; right < len(all) && all[right].before(all[down]) {
			down = right
		}
		if !all[down].before(last) {
			break
		}
		all[i] = all[down]
		i = down
	}
	if len(all) > 0 {
		all[i] = last
	}
	return next
}
