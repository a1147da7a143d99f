package sim

import (
	"time"
)

// question is one HTTP request to a member of etcd.
type question struct {
	member, life int // whom it was sent to
	path         string
	body         []byte
	came         time.Duration
	store        int  // the store that it came to
	logged       bool // done in the end, also if its member dies before it is
	// reply brings an answer to whoever asked, and broken the end of the connection.
	reply  func(status int, text []byte)
	broken func()
}

// forget: whoever asked was told something, and hears no more.
func (q *question) forget() {
	q.reply, q.broken = func(int, []byte) {}, func() {}
	q.came = 1 << 60
}

// arrives is called when a question has come to the host.
func (e *etcd) arrives(q *question) {
	m := &e.members[q.member]
	switch {
	case !m.up || m.life != q.life: // the kernel says that nobody has this connection
		q.broken()
	case m.frozen || e.stuck():
		e.w.after(50*time.Millisecond, func() { e.arrives(q) })
	case q.path == "/v3/watch":
		q.reply(200, []byte(`{"result":{"created":true}}`+"\n"))
		e.watches = append(e.watches, q)
	default:
		q.came, q.store, q.logged = e.w.now, e.stores, e.w.chance(0.5)
		e.w.after(e.w.mostly(3*time.Millisecond, 400*time.Millisecond), func() { e.pend(q) })
	}
}

// here: the member that the question came to still runs.
func (e *etcd) here(q *question) bool {
	m := e.members[q.member]
	return m.up && m.life == q.life
}

// pend does the question as soon as there is a leader. Whoever asked may have gone, and
// so may the member that it came to: what the log has is done all the same.
func (e *etcd) pend(q *question) {
	switch {
	case q.store != e.stores, !e.here(q) && !q.logged:
	case !e.sound() || e.here(q) && e.members[q.member].frozen:
		if e.w.now-q.came > etcdGivesUp && e.here(q) && !e.stuck() && !e.members[q.member].frozen {
			e.answer(q, etcdNoWrite)
			if !q.logged {
				return
			}
			q.forget()
		}
		e.w.after(e.w.between(50*time.Millisecond, 200*time.Millisecond), func() { e.pend(q) })
	default:
		e.do(q)
	}
}

func (e *etcd) do(q *question) {
	before := e.store.revision
	status, text := e.store.do(q.path, q.body, e.now(), e.fresh.Int64())
	if e.store.revision != before {
		e.tellWatches()
	}
	e.w.after(e.w.mostly(time.Millisecond, 100*time.Millisecond), func() { e.send(q, status, text) })
}

func (e *etcd) answer(q *question, what any) {
	status, text := spoken(what)
	e.send(q, status, text)
}

// send gives the answer to the network when the member runs.
func (e *etcd) send(q *question, status int, text []byte) {
	switch {
	case !e.here(q):
		q.broken()
	case e.members[q.member].frozen || e.stuck():
		e.w.after(50*time.Millisecond, func() { e.send(q, status, text) })
	default:
		q.reply(status, text)
	}
}

// tellWatches says that something has changed.
func (e *etcd) tellWatches() {
	for _, q := range e.watches {
		e.w.after(e.w.mostly(2*time.Millisecond, 200*time.Millisecond), func() {
			e.send(q, 200, []byte(`{"result":{"events":[{}]}}`+"\n"))
		})
	}
}

// endWatches: the member has died, and with it its connections.
func (e *etcd) endWatches(member int) {
	kept := e.watches[:0]
	for _, q := range e.watches {
		if q.member == member {
			q.broken()
		} else {
			kept = append(kept, q)
		}
	}
	clear(e.watches[len(kept):])
	e.watches = kept
}

// unwatch: nobody reads it any more.
func (e *etcd) unwatch(q *question) {
	for i, other := range e.watches {
		if other == q {
			e.watches = append(e.watches[:i], e.watches[i+1:]...)
			return
		}
	}
}
