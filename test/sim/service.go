package sim

import (
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// outage is how long clients may go without an answer while one server and the arbiter
// are sound, whatever the other server does or suffers: far more than is noticed
// within, and what the slowest start, promotion and reload of the models take.
const outage = 30 * time.Second

// service is L1 while faults last: since when the pair owes its clients an answer.
type service struct {
	by    *node
	since time.Duration
}

// watchService looks whether a sound server serves.
func (w *World) watchService() {
	if n := w.able(); n != w.service.by {
		w.service = service{n, w.now}
	}
	if s := w.service; s.by != nil && w.now-max(s.since, w.ledger.lastAck) > outage {
		w.breaks("L1", "nothing was acknowledged for %s, and %s has had the arbiter and sound disks since then", outage, s.by.me)
	}
	w.after(time.Second, w.watchService)
}

// able is the server that must serve now by itself, if there is one: the primary, or
// the standby of a primary that has gone with all its processes.
func (w *World) able() *node {
	r, known := w.record()
	if !known || w.plan.commands { // fencing may fail for as long as it likes
		return nil
	}
	for i, n := range w.nodes {
		other := w.nodes[1-i]
		if !n.sound() || n.said() || other.said() {
			continue
		}
		if n.me == r.Primary && w.hears(n, other) || w.mayTakeOver(n, other, r) {
			return n
		}
	}
	return nil
}

// hears: without an arbiter a hand-over is known to the other server alone, until it
// could tell.
func (w *World) hears(n, other *node) bool {
	if !w.plan.alone {
		return true
	}
	if n.agent == nil {
		return false
	}
	if s, _ := n.agent.Sight(); s.Names(n.me) {
		return true
	}
	here, there := n.host.name, other.host.name
	return other.server != nil && !other.server.frozen() && !other.host.off && !w.cut(here, there) && !w.cut(there, here)
}

// sound: nothing is wrong with it, nor with its way to the arbiter and the arbiter.
func (n *node) sound() bool {
	w, d := n.w, n.host.disk
	broken := n.host.off || n.server == nil || n.server.frozen() || n.server.killIn > 0 || d.full || d.failing ||
		n.data.hung || n.data.failing || n.data.full() || n.data.slow > 0 || n.data.pm != nil && n.data.pm.frozen
	return !broken && (w.plan.alone || w.arbiterSound() && !w.cut(n.host.name, arbName) && !w.cut(arbName, n.host.name))
}

func (w *World) arbiterSound() bool {
	if w.plan.etcd {
		return w.etcd.sound()
	}
	return w.wit.sound()
}

func (h *witnessHost) sound() bool {
	return h.server != nil && !h.server.frozen() && !h.host.disk.full && !h.host.disk.failing
}

// said: an operator has said something because of which nobody may act by himself.
func (n *node) said() bool {
	if n.kept {
		return true
	}
	if n.agent == nil {
		return false
	}
	s, _ := n.agent.Sight()
	return s.FailoverOff || s.PeerFailoverOff || s.PeerResting || s.Task != decide.NoTask
}

// mayTakeOver: the record lets n, and of the other server nothing is left that could
// speak for it.
func (w *World) mayTakeOver(n, other *node, r record.Record) bool {
	a, b := other.host.name, n.host.name
	gone := other.host.off || other.server == nil && other.data.pm == nil ||
		w.cut(a, b) && w.cut(b, a) && w.cut(a, arbName) && w.cut(arbName, a)
	return !w.plan.alone && gone && r.Mode == pair.Paired && n.data.marked && !n.data.unfinished
}
