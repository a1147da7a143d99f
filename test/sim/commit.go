package sim

import (
	"time"

	"mcctl/pkg/pair"
)

// commit writes a commit as a backend does: into the log, on the disk, and then, when
// it comes to run again, it waits for the standby if the flag in shared memory says so.
func (pm *postmaster) commit(id int, apply bool, done func(acknowledged bool)) *waiter {
	c, v := pm.c, &waiter{apply: apply, done: done}
	n := c.log.add(id)
	pm.onDisk(func() {
		if pm.stopping || pm.recovery {
			done(false)
			return
		}
		if n > c.log.flushed {
			c.log.flushed = n
			pm.send()
		}
		v.lsn = c.log.at(n)
		pm.later(c.w.mostly(100*time.Microsecond, 20*time.Millisecond), func() {
			pm.await(v)
		})
	})
	return v
}

// await is SyncRepWaitForLSN.
func (pm *postmaster) await(v *waiter) {
	switch {
	case pm.stopping:
		v.done(false)
		return
	case !pm.flag || pm.reached(v):
		v.done(true)
		return
	}
	pm.waiting = append(pm.waiting, v)
}

func (pm *postmaster) reached(v *waiter) bool {
	at := pm.synced
	if v.apply {
		at = pm.applied
	}
	return at >= v.lsn
}

// release is SyncRepReleaseWaiters of the walsender, if its standby is the
// synchronous one by what that walsender has read.
func (pm *postmaster) release() {
	s := pm.down
	if s == nil || !pm.senders.Wait || pm.senders.Other != s.standby.me {
		return
	}
	pm.synced, pm.applied = max(pm.synced, s.flush), max(pm.applied, s.replay)
	var left, released []*waiter
	for _, v := range pm.waiting {
		if pm.reached(v) {
			released = append(released, v)
		} else {
			left = append(left, v)
		}
	}
	pm.waiting = left
	for _, v := range released {
		v.done(true)
	}
}

// position of the last record that is visible in recovery.
func (pm *postmaster) replayedAt() pair.LSN { return pm.c.log.at(pm.replayed) }
