package sim

import (
	"encoding/json"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
)

// ledger is what the clients were told, and what must hold of it. It reads the
// models' disks and knows nothing of what the supervisors think.
type ledger struct {
	w       *World
	last    int           // the newest commit written
	told    []int         // acknowledged, or shown to a reader
	isTold  []bool        // by number
	records record.Record // the newest seen
	acks    int
	lastAck time.Duration // active time
}

// acknowledges is called at the moment at which a server acknowledges a commit. What the
// other server has too may be told late, as by a backend that was frozen in between: the
// answer could as well have been on its way for as long.
func (l *ledger) acknowledges(c *cluster, id int) {
	o := l.w.peer(c)
	apart := !has(o, id)
	if apart && o.open() && !o.pm.flag {
		l.w.breaks("S2", "%s acknowledges, and %s is open and waits for nobody", c.me, o.me)
	}
	if apart && c.log.tl < o.log.tl && !o.unfinished {
		l.w.breaks("S3", "%s acknowledges on timeline %d, and %s is on %d", c.me, c.log.tl, o.me, o.log.tl)
	}
	l.acks++
	l.lastAck = l.w.now
	l.tell(id)
	l.holds(id)
}

func (l *ledger) tell(id int) {
	for len(l.isTold) <= id {
		l.isTold = append(l.isTold, false)
	}
	if !l.isTold[id] {
		l.isTold[id] = true
		l.told = append(l.told, id)
	}
}

// opened is called when a server lets clients in: they see whatever is in its log.
func (l *ledger) opened(c *cluster) {
	o := l.w.peer(c)
	if r, known := l.w.record(); known && r.Primary != c.me && !stillFollows(o, c) {
		l.w.breaks("S3", "%s opens, and the record names %s (%s)", c.me, r.Primary, r)
	}
	for _, e := range c.log.recs {
		if e.id > 0 {
			l.tell(e.id)
		}
	}
	l.all()
}

// stillFollows reports whether the reign of next, which the record gives, has not begun,
// so that the old primary may open in its own term: next receives from this very
// postmaster, is not being promoted, and commits wait for it. Nothing is acknowledged
// without it then, and its promotion begins by ending to receive.
func stillFollows(next, old *cluster) bool {
	pm := next.pm
	return pm != nil && pm.recovery && !pm.promoting && pm.up != nil && pm.up.from == old.pm && old.pm.flag
}

// holds is S1 for one commit.
func (l *ledger) holds(id int) {
	if c := l.named(); c != nil && !has(c, id) {
		l.w.breaks("S1", "commit %d was told, and %s, which the record names, lacks it", id, c.me)
	}
}

// named is the data of the server that the record names, if there is a record.
func (l *ledger) named() *cluster {
	r, known := l.w.record()
	for _, c := range l.w.clusters {
		if known && c.me == r.Primary {
			return c
		}
	}
	return nil
}

func has(c *cluster, id int) bool {
	for i := c.log.flushed - 1; i >= 0; i-- {
		switch e := c.log.recs[i]; {
		case e.id == id:
			return true
		case e.id > 0 && e.id < id:
			return false // numbers grow along every log
		}
	}
	return false
}

// all is S1 for every commit that was told.
func (l *ledger) all() {
	c := l.named()
	if c == nil {
		return
	}
	here := make([]bool, l.last+1)
	for _, e := range c.log.recs[:c.log.flushed] {
		here[e.id] = true
	}
	for _, id := range l.told {
		if !here[id] {
			l.w.breaks("S1", "commit %d was told, and %s, which the record names, lacks it", id, c.me)
			return
		}
	}
}

// changed: a log was cut short, replaced, or went on to a new timeline.
func (l *ledger) changed(c *cluster) {
	if l.named() == c {
		l.all()
	}
}

// destroys is S4: a data directory is about to be rewound or replaced.
func (l *ledger) destroys(c *cluster, by string) {
	o := l.w.peer(c)
	r, known := l.w.record()
	switch {
	case known && r.Primary == c.me: // else the keeper has lost it; what its servers know names the newest reign
		l.w.breaks("S4", "%s of %s, which the record names primary (%s)", by, c.me, r)
	case known && r.Mode == pair.Paired:
		l.w.breaks("S4", "%s of %s, and the record is paired (%s)", by, c.me, r)
	case by == "rewind" && o.log.tl <= c.log.tl:
		l.w.breaks("S4", "rewind of %s on timeline %d, and %s is on %d", c.me, c.log.tl, o.me, o.log.tl)
	case by == "swap" && o.log.tl <= c.log.tl && !o.log.holds(c.log):
		l.w.breaks("S4", "swap of %s on timeline %d, and %s, which lacks some of its log, is on %d", c.me, c.log.tl, o.me, o.log.tl)
	case !o.open() || o.control.State != postgres.InProduction:
		l.w.breaks("S4", "%s of %s, and %s is not open", by, c.me, o.me)
	}
}

// recordWritten is called after every write of a record.
func (l *ledger) recordChanged() {
	r, known := l.w.record()
	if !known || r == l.records {
		return
	}
	was := l.records
	l.records = r
	l.w.wit.keeps(was)
	if was.Term > r.Term {
		l.w.breaks("S3", "the record went back from %s to %s", was, r)
	}
	l.w.say("record", "%s", r)
	l.w.follow(r)
	if was.Primary != r.Primary {
		l.all()
		if l.w.plan.alone { // else the question to the keeper is seen
			l.handsOver(was.Primary)
		}
	}
}

// sees is called when a server asks etcd something: it may be the question that passes
// its reign on.
func (l *ledger) sees(server string, q *question) {
	if q.path != "/v3/kv/txn" {
		return
	}
	var next record.Record
	for _, op := range asked[etcdTxn](q.body).Success {
		if string(op.Put.Key) == etcdRecord && json.Unmarshal(op.Put.Value, &next) != nil {
			l.w.breaks("S3", "%s writes a record that cannot be read: %s", server, op.Put.Value)
		}
	}
	if r, known := l.w.record(); known && next.Exists() && string(r.Primary) == server && next.Primary != r.Primary {
		l.handsOver(r.Primary)
	}
}

// handsOver is called when a primary passes its reign on. A switch in good order leaves
// nothing behind that its standby lacks, so that the old primary comes back without a
// rewind.
func (l *ledger) handsOver(by pair.Server) {
	for i, n := range l.w.nodes {
		if n.me != by || n.agent == nil || n.data.control.State != postgres.ShutDown {
			continue
		}
		if s, _ := n.agent.Sight(); s.Doing != decide.Switch {
			continue
		}
		if o := l.w.clusters[1-i]; !o.log.holds(n.data.log) || o.log.flushed < len(n.data.log.recs) {
			l.w.breaks("S1", "%s is switched from at %s, and %s is at %s", n.me, n.data.log.flushAt(), o.me, o.log.flushAt())
		}
	}
}
