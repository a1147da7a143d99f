package sim

import (
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// cluster is a data directory with the postmaster that runs in it.
type cluster struct {
	w    *World
	host *host
	me   pair.Server
	pids int

	// On the disk.
	log        *wal
	control    postgres.Control
	marked     bool            // standby.signal
	conf       settings.Wanted // the managed lines
	edits      int
	linkOpen   bool // the gate's link leads to the site's file
	gateShut   bool // the gate's own text is there: it was closed and not proven open
	unfinished bool // half rewound
	copied     *wal // a whole base backup that waits for its swap
	old        bool // data put aside
	hung       bool // the disk does not answer
	failing    bool // it answers with errors
	slow       time.Duration
	free       uint64 // GB; without any nothing can be written
	slots      map[string]bool

	leftover time.Duration // until then memory of the last postmaster is in use
	pm       *postmaster
	// replaced counts rewinds and swaps: the checkers look again.
	replaced int
}

// postmaster is one life of PostgreSQL.
type postmaster struct {
	c        *cluster
	pid      int
	exited   chan struct{}
	gone     bool
	ready    bool
	stopping bool
	frozen   bool
	recovery bool
	hba      bool // started behind the gate
	gated    bool // only the supervisor and replication are let in now
	// What its processes go by; each hears of a reload in its own time.
	sessions, senders settings.Wanted
	flag              bool // shared memory: commits wait
	synced            pair.LSN
	applied           pair.LSN // acknowledged as applied by the synchronous standby
	waiting           []*waiter
	promoting         bool
	paused            bool
	replayed          int
	up                *stream // as a standby: from whom it receives
	down              *stream // as a primary: who receives
	retry             *event
	shut              bool // the shutdown checkpoint is written
}

// waiter is a backend whose commit waits for the standby.
type waiter struct {
	lsn   pair.LSN
	apply bool
	done  func(released bool)
}

const systemID = 7

// The size of PostgreSQL's disk, and what is free on it as long as nothing fills it; GB.
const diskSize, roomy = 1000, 500

func newCluster(w *World, h *host, me, other pair.Server) *cluster {
	c := &cluster{w: w, host: h, me: me, log: newWAL(), slots: map[string]bool{}, free: roomy}
	c.control = postgres.Control{SystemID: systemID, State: postgres.ShutDown, Checkpoint: 1, Timeline: 1, WALLogHints: true}
	c.conf = settings.Wanted{Other: other}
	return c
}

func (c *cluster) say(format string, args ...any) { c.w.say("pg "+string(c.me), format, args...) }

func (c *cluster) full() bool { return c.free == 0 }

// open reports whether clients can write.
func (c *cluster) open() bool {
	pm := c.pm
	return pm != nil && pm.ready && !pm.stopping && !pm.recovery && !pm.gated
}

// launch starts a postmaster. It takes its time, and a crashed one recovers.
func (c *cluster) launch(hba bool) *postmaster {
	c.pids++
	pm := &postmaster{c: c, pid: 100 + c.pids, exited: make(chan struct{}), hba: hba, recovery: c.marked, sessions: c.conf, senders: c.conf}
	pm.gated = hba && !c.linkOpen
	c.pm = pm
	c.say("started, pid %d%s", pm.pid, map[bool]string{true: ", behind the gate"}[pm.gated])
	took := c.w.mostly(200*time.Millisecond, 3*time.Second)
	if c.control.State == postgres.InProduction || c.control.State == postgres.InArchiveRecovery {
		took += c.w.mostly(200*time.Millisecond, 4*time.Second)
	}
	pm.later(took, pm.come)
	return pm
}

// later has do happen in d, if the postmaster still lives and its host is awake then.
func (pm *postmaster) later(d time.Duration, do func()) *event {
	e := &event{}
	e.do = func() {
		switch {
		case pm.gone:
		case pm.frozen || pm.c.host.asleep:
			pm.c.w.put(e, 50*time.Millisecond)
		default:
			do()
		}
	}
	pm.c.w.put(e, d)
	return e
}

// onDisk has do happen when the disk has done its work, which may take for ever.
func (pm *postmaster) onDisk(do func()) {
	d := pm.c.slow + pm.c.w.mostly(2*time.Millisecond, 60*time.Millisecond)
	if pm.c.hung {
		d = 100 * time.Millisecond
	}
	pm.later(d, func() {
		switch {
		case pm.c.hung:
			pm.onDisk(do)
		case pm.c.failing, pm.c.full(): // PostgreSQL panics when the log cannot be written or synced
			pm.c.say("PANIC: the disk fails")
			pm.exit()
		default:
			do()
		}
	})
}

// come lets the supervisor in, and clients where no gate is closed.
func (pm *postmaster) come() {
	c := pm.c
	if c.unfinished || c.failing || c.full() {
		c.say("does not start")
		pm.exit()
		return
	}
	pm.replayed = c.log.flushed
	if pm.recovery {
		c.control.State = postgres.InArchiveRecovery
		pm.ready = true
		pm.flag = pm.sessions.Wait
		pm.connect()
		return
	}
	pm.onDisk(func() {
		c.log.add(0) // the end of recovery
		c.log.flushed = len(c.log.recs)
		pm.replayed = c.log.flushed
		c.control.State, c.control.Checkpoint, c.control.Timeline = postgres.InProduction, c.log.flushAt(), c.log.tl
		pm.ready = true
		if c.w.plan.lateFlag { // versions that set the flag some time after the start
			pm.later(c.w.mostly(20*time.Millisecond, time.Second), func() { pm.setFlag(pm.sessions.Wait) })
		} else {
			pm.flag = pm.sessions.Wait
		}
		c.say("ready, timeline %d%s", c.log.tl, map[bool]string{true: ", gated"}[pm.gated])
		if !pm.gated {
			c.w.ledger.opened(c)
		}
	})
}

// exit ends it without any order.
func (pm *postmaster) exit() {
	if pm.gone {
		return
	}
	c := pm.c
	pm.gone, pm.ready = true, false
	pm.hangUp()
	for _, v := range pm.waiting {
		v.done(false)
	}
	pm.waiting = nil
	c.pm = nil
	c.log.crash(c.w)
	if pm.recovery {
		c.control.MinRecovery, c.control.MinRecoveryTimeline = c.log.flushAt(), c.log.tl
	}
	c.say("gone (%s), log up to %s", c.control.State, c.log.flushAt())
	c.w.ledger.changed(c)
	for _, n := range c.w.nodes {
		if n.data == c && n.server != nil {
			n.server.stirred = true
		}
	}
	close(pm.exited)
}

// kill is SIGKILL for all of it. Its memory may stay in use for a moment.
func (c *cluster) kill() {
	if c.pm != nil {
		c.leftover = c.w.now + c.w.mostly(30*time.Millisecond, 3*time.Second)
		c.pm.exit()
		if c.w.bugs.restarts && !c.host.off {
			c.launch(false)
		}
	}
}

// stop is a fast shutdown: sessions end, the last record is written, and whoever
// streams gets it before the end. An unreachable standby delays that.
func (pm *postmaster) stop() {
	if pm.stopping {
		return
	}
	pm.stopping = true
	if !pm.ready {
		pm.later(pm.c.w.mostly(50*time.Millisecond, time.Second), pm.exit)
		return
	}
	for _, v := range pm.waiting {
		v.done(false)
	}
	pm.waiting = nil
	if pm.recovery {
		pm.hangUp()
		pm.onDisk(func() {
			pm.c.control.State = postgres.ShutDownInRecovery
			pm.c.control.MinRecovery, pm.c.control.MinRecoveryTimeline = pm.c.log.flushAt(), pm.c.log.tl
			pm.exit()
		})
		return
	}
	pm.later(pm.c.w.mostly(30*time.Millisecond, 2*time.Second), func() {
		pm.onDisk(func() {
			c := pm.c
			c.control.Checkpoint, c.control.Timeline = c.log.insertAt(), c.log.tl
			c.log.add(0)
			c.log.flushed = len(c.log.recs)
			c.control.State, pm.shut = postgres.ShutDown, true
			c.say("shut down at %s", c.log.insertAt())
			pm.send()
			pm.awaitSenders(c.w.now + c.w.between(20*time.Second, 60*time.Second))
		})
	})
}

// awaitSenders is the end of a shutdown: until wal_sender_timeout.
func (pm *postmaster) awaitSenders(limit time.Duration) {
	if s := pm.down; s != nil && s.flush < pm.c.log.flushAt() && pm.c.w.now < limit {
		pm.later(5*time.Millisecond, func() { pm.awaitSenders(limit) })
		return
	}
	pm.later(pm.c.w.mostly(10*time.Millisecond, 500*time.Millisecond), pm.exit)
}

// reload has every process read the configuration, each in its own time.
func (pm *postmaster) reload() {
	c := pm.c
	pm.later(c.w.mostly(2*time.Millisecond, 100*time.Millisecond), func() { pm.sessions = c.conf })
	pm.later(c.w.mostly(2*time.Millisecond, 100*time.Millisecond), func() {
		pm.senders = c.conf
		pm.release()
	})
	pm.later(c.w.flagDelay(), func() { pm.setFlag(c.conf.Wait) })
	pm.later(c.w.mostly(2*time.Millisecond, 100*time.Millisecond), func() {
		was := pm.gated
		if pm.gated = pm.hba && !c.linkOpen; was && !pm.gated {
			c.say("opened to clients")
			if pm.ready && !pm.recovery && !pm.stopping {
				c.w.ledger.opened(c)
			}
		}
		pm.connectSoon(0)
	})
}

// setFlag is the checkpointer's: names that are gone release whoever waits.
func (pm *postmaster) setFlag(wait bool) {
	pm.flag = wait
	if wait {
		return
	}
	released := pm.waiting
	pm.waiting = nil
	for _, v := range released {
		v.done(true)
	}
}
