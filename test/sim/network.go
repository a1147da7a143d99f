package sim

import "time"

// way is one direction between two hosts.
type way struct{ from, to string }

// cut reports whether nothing gets from one to the other now.
func (w *World) cut(from, to string) bool { return from != to && w.cuts[way{from, to}] }

// delay is how long a message is under way.
func (w *World) delay() time.Duration {
	if w.plan.slowly > 0 && w.chance(w.plan.slowly) {
		return w.between(10*time.Millisecond, 800*time.Millisecond)
	}
	return w.between(100*time.Microsecond, 900*time.Microsecond)
}

// retransmit is the pause after which TCP sends again what was not received.
const retransmit = 200 * time.Millisecond

// carry brings something to the other host, when the network lets it. What is cut off
// is sent again for as long as wanted says, as TCP does.
func (w *World) carry(from, to string, wanted func() bool, arrive func()) {
	if w.cut(from, to) || w.hostDown(to) {
		w.after(w.between(retransmit/2, retransmit), func() {
			if wanted() {
				w.carry(from, to, wanted, arrive)
			}
		})
		return
	}
	w.after(w.delay(), func() { w.arrive(to, arrive) })
}

// arrive waits while the host sleeps: its network card does as well.
func (w *World) arrive(to string, do func()) {
	if h := w.host(to); h != nil && h.asleep {
		w.after(50*time.Millisecond, func() { w.arrive(to, do) })
		return
	}
	do()
}

func (w *World) host(name string) *host {
	if name == w.wit.host.name {
		return w.wit.host
	}
	for _, n := range w.nodes {
		if n.host.name == name {
			return n.host
		}
	}
	return nil
}

func (w *World) hostDown(name string) bool { return w.host(name).off }

// cutOff cuts one direction for a while.
func (w *World) cutOff(from, to string, d time.Duration) {
	k := way{from, to}
	if w.cuts[k] {
		return
	}
	w.cuts[k] = true
	w.say("net", "cut %s -> %s for %s", from, to, d)
	w.plans(d, func() {
		if w.cuts[k] {
			delete(w.cuts, k)
			w.say("net", "mended %s -> %s", from, to)
		}
	})
}
