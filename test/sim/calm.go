package sim

import (
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
)

// leaveOutCalm moves the calendar on to what breaks or is mended next, when nothing
// happens until then but heartbeats.
func (w *World) leaveOutCalm() {
	if w.healed {
		return
	}
	if left := w.planned.first() - w.calendar(); left > time.Second && w.calm() {
		w.skipped += left
	}
	w.after(200*time.Millisecond, w.leaveOutCalm)
}

// calm: for some time nobody has begun anything, nobody has anything in hand, and who
// can serve does.
func (w *World) calm() bool {
	for _, n := range w.nodes {
		if n.host.asleep || n.busy() {
			return false
		}
	}
	if w.wit.host.asleep || w.service.by != nil && w.now-w.ledger.lastAck > time.Second {
		return false
	}
	return w.now-w.lastWork > w.settling()
}

func (n *node) busy() bool {
	if n.agent == nil {
		return false
	}
	s, _ := n.agent.Sight()
	return s.Doing != "" || s.Task != decide.NoTask
}

// settling is how long something may still come of what happened last.
func (w *World) settling() time.Duration {
	switch {
	case len(w.cuts) > 0:
		return 20 * time.Second // connections and streams shall come to their timeouts
	case len(w.planned) > 1 || !w.streams(): // more than the next strike
		return 5 * time.Second
	}
	return 2 * time.Second
}

// streams: the pair is paired, and its supervisors know each other.
func (w *World) streams() bool {
	for _, n := range w.nodes {
		if n.agent == nil || n.data.pm == nil || !n.data.pm.streams() {
			return false
		}
		if s, _ := n.agent.Sight(); s.Record.Mode != pair.Paired || !s.Link.Connected {
			return false
		}
	}
	return true
}
