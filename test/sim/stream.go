package sim

import (
	"time"

	"mcctl/pkg/pair"
)

// stream is a walsender with the walreceiver at its other end.
type stream struct {
	from, to *postmaster
	standby  *cluster
	sent     int // records under way or there
	flush    pair.LSN
	replay   pair.LSN
	replies  int64
	ended    bool
	stuck    time.Duration // since when the network lets nothing through
	busy     bool
}

// connect has a standby look for its primary, now and whenever it has none.
func (pm *postmaster) connect() {
	pm.retry = nil
	if pm.gone || !pm.recovery || pm.promoting || pm.up != nil || pm.stopping || !pm.ready {
		return
	}
	other := pm.c.w.peer(pm.c)
	if pm.sessions.Upstream != "" && pm.attachTo(other) {
		return
	}
	pm.connectSoon(pm.c.w.between(500*time.Millisecond, 5*time.Second)) // wal_retrieve_retry_interval
}

func (pm *postmaster) connectSoon(d time.Duration) {
	if !pm.recovery || pm.up != nil || pm.gone {
		return
	}
	if pm.retry != nil {
		pm.retry.cancel()
	}
	pm.retry = pm.later(d, pm.connect)
}

// attachTo begins to stream from where this standby's log ends, if the other one's
// history holds all of it.
func (pm *postmaster) attachTo(other *cluster) bool {
	w, up := pm.c.w, other.pm
	me, there := pm.c.host.name, other.host.name
	if up == nil || !up.ready || up.stopping || up.frozen || other.host.asleep || w.cut(me, there) || w.cut(there, me) || other.host.off {
		return false
	}
	if up.up != nil && up.up.from == pm || up.down != nil {
		return false
	}
	if !other.log.holds(pm.c.log) || other.log.tl < pm.c.log.tl {
		pm.c.say("cannot stream: it stands at %s on %d, the other's history ends otherwise", pm.c.log.insertAt(), pm.c.log.tl)
		return false
	}
	pm.c.log.recs = pm.c.log.recs[:pm.c.log.flushed] // what was not synced is sent again
	s := &stream{from: up, to: pm, standby: pm.c, sent: pm.c.log.flushed}
	pm.up, up.down = s, s
	pm.c.log.tl, pm.c.log.forks = other.log.tl, append(pm.c.log.forks[:0:0], other.log.forks...)
	pm.c.say("streams from %s at %s", other.me, pm.c.log.insertAt())
	s.reply()
	s.pump()
	return true
}

// hangUp ends what streams to and from a postmaster.
func (pm *postmaster) hangUp() {
	for _, s := range []*stream{pm.up, pm.down} {
		if s != nil {
			s.end()
		}
	}
}

func (s *stream) end() {
	if s.ended {
		return
	}
	s.ended = true
	if s.to.up == s {
		s.to.up = nil
		s.to.connectSoon(s.to.c.w.between(100*time.Millisecond, 5*time.Second))
	}
	if s.from.down == s {
		s.from.down = nil
	}
}

// send has a walsender go on.
func (pm *postmaster) send() {
	if pm.down != nil {
		pm.down.pump()
	}
}

// pump sends what is on the sender's disk and was not sent yet.
func (s *stream) pump() {
	w, from := s.standby.w, s.from.c
	if s.ended || s.busy || s.sent >= from.log.flushed || s.from.frozen {
		return
	}
	s.busy = true
	if !s.through(from.host.name, s.standby.host.name, s.resume) {
		return
	}
	upTo := min(from.log.flushed, s.sent+w.plan.chunk) // MAX_SEND_SIZE
	parts := append([]rec(nil), from.log.recs[s.sent:upTo]...)
	s.sent = upTo
	s.to.later(w.delay(), func() {
		s.busy = false
		if !s.ended {
			s.receive(parts)
			s.pump()
		}
	})
}

func (s *stream) resume() {
	s.busy = false
	s.pump()
}

// through reports whether something passes now; otherwise it is tried again until the
// timeout of the two ends.
func (s *stream) through(from, to string, again func()) bool {
	w := s.standby.w
	if !w.cut(from, to) && !w.host(to).asleep {
		s.stuck = 0
		return true
	}
	if s.stuck == 0 {
		s.stuck = w.now
	}
	w.after(retransmit, func() {
		switch {
		case s.ended:
		case w.now-s.stuck > w.plan.senderTimeout:
			s.standby.say("the stream is given up")
			s.end()
		default:
			again()
		}
	})
	return false
}

// receive writes and syncs what came, tells the sender, and applies it.
func (s *stream) receive(parts []rec) {
	pm, log := s.to, s.standby.log
	log.recs = append(log.recs, parts...)
	n := len(log.recs)
	pm.onDisk(func() {
		if s.ended || n > len(log.recs) {
			return
		}
		log.flushed = max(log.flushed, n)
		if !pm.paused {
			pm.replayed = max(pm.replayed, log.flushed)
		}
		s.reply()
	})
}

// reply tells the sender how far the standby is.
func (s *stream) reply() {
	w, pm := s.standby.w, s.to
	if s.ended || !s.through(s.standby.host.name, s.from.c.host.name, s.reply) {
		return
	}
	flush, replay := s.standby.log.flushAt(), pm.replayedAt()
	s.from.later(w.delay(), func() {
		if !s.ended {
			s.flush, s.replay = max(s.flush, flush), max(s.replay, replay)
			s.replies++
			s.from.release()
		}
	})
}

func (w *World) peer(c *cluster) *cluster {
	if w.clusters[0] == c {
		return w.clusters[1]
	}
	return w.clusters[0]
}

// streams reports whether this server sends to its standby, or receives.
func (pm *postmaster) streams() bool { return pm.up != nil || pm.down != nil }
