package sim

import (
	"slices"
	"time"

	"mcctl/pkg/record"
)

// fault is a kind of thing that goes wrong, or that an operator does.
type fault struct {
	name string
	do   func(w *World, n *node)
}

func allFaults() []fault {
	return slices.Concat(processFaults(), hostFaults(), operators(), roomFaults(), syncFaults())
}

func roomFaults() []fault {
	return []fault{
		{"disk fills", func(w *World, n *node) {
			n.data.free = []uint64{0, diskSize / 500, diskSize / 30}[w.rnd.IntN(3)] // full, critical, low
			w.say("fault", "%d GB are free on the disk of %s", n.data.free, n.me)
			w.plans(w.between(2*time.Second, time.Minute), func() { n.data.free = roomy })
		}},
	}
}

// copyFaults are for a pair whose record is kept by the primary: its copy is lost while
// the host is off. Where the other one does not know the reign, nobody could tell.
func copyFaults() []fault {
	return []fault{
		{"copy is lost", func(w *World, n *node) {
			other := w.nodes[0]
			if n == other {
				other = w.nodes[1]
			}
			path := n.config.Path("record.json")
			if r, known := w.record(); !known || other.host.disk.record(path).Term != r.Term {
				return
			}
			w.power(n, w.away())
			w.say("fault", "%s loses its copy of the record", n.me)
			n.host.disk.forget(path)
		}},
	}
}

// syncFaults are about files that are seen and not on the disk yet.
func syncFaults() []fault {
	return []fault{
		{"kill supervisor in a write", func(w *World, n *node) {
			n.host.disk.cutOff = func() { w.plans(w.between(time.Second, 10*time.Second), func() { w.reviveSoon(n) }) }
		}},
		{"kill witness in a write", func(w *World, _ *node) {
			w.wit.host.disk.cutOff = func() { w.plans(w.between(time.Second, 10*time.Second), w.wit.start) }
		}},
		{"power witness", func(w *World, _ *node) { w.powerWitness(w.away()) }},
	}
}

func processFaults() []fault {
	return []fault{
		{"kill supervisor", func(w *World, n *node) { w.killSupervisor(n) }},
		{"kill supervisor in a step", func(w *World, n *node) {
			if s := n.server; s != nil {
				s.killIn = 1 + w.rnd.IntN(400)
				s.killed = func() { w.plans(w.between(time.Second, 10*time.Second), func() { w.reviveSoon(n) }) }
			}
		}},
		{"kill postmaster", func(w *World, n *node) {
			w.say("fault", "kill postmaster of %s", n.me)
			n.data.kill()
		}},
		{"kill both", func(w *World, n *node) {
			w.say("fault", "kill postmaster and supervisor of %s", n.me)
			n.data.kill()
			w.killSupervisor(n)
		}},
		{"freeze postmaster", func(w *World, n *node) {
			if pm := n.data.pm; pm != nil && !pm.frozen {
				w.say("fault", "freeze postmaster of %s", n.me)
				pm.frozen = true
				w.plans(w.between(200*time.Millisecond, 20*time.Second), func() { pm.frozen = false })
			}
		}},
		{"freeze supervisor", func(w *World, n *node) {
			if s := n.server; s != nil {
				w.say("fault", "freeze supervisor of %s", n.me)
				s.stopped = true
				w.plans(w.between(200*time.Millisecond, 20*time.Second), func() { s.stopped = false })
			}
		}},
		{"break stream", func(w *World, n *node) {
			if pm := n.data.pm; pm != nil {
				w.say("fault", "break streams of %s", n.me)
				pm.hangUp()
			}
		}},
		{"kill witness", func(w *World, _ *node) {
			if s := w.wit.server; s != nil {
				w.say("fault", "kill witness")
				s.die()
				w.plans(w.mostly(2*time.Second, time.Minute), w.wit.start)
			}
		}},
	}
}

// away is how long a machine, or what ran on it, stays away.
func (w *World) away() time.Duration {
	if w.chance(w.plan.absent) {
		return w.between(40*time.Second, 4*time.Minute)
	}
	return w.between(time.Second, 40*time.Second)
}

// killSupervisor is SIGKILL; the watch or systemd starts it again.
func (w *World) killSupervisor(n *node) {
	if n.server == nil {
		return
	}
	w.say("fault", "kill supervisor of %s", n.me)
	n.server.die()
	w.plans(w.mostly(time.Second, 20*time.Second), func() { w.reviveSoon(n) })
}

func (w *World) reviveSoon(n *node) {
	if !n.kept {
		n.start()
	}
}

func hostFaults() []fault {
	return []fault{
		{"power", func(w *World, n *node) { w.power(n, w.away()) }},
		{"suspend", func(w *World, n *node) {
			d := w.between(100*time.Millisecond, 20*time.Second)
			n.host.suspend(d, w.chance(0.5))
		}},
		{"starve", func(w *World, n *node) { w.starve(n, w.between(2*time.Second, 20*time.Second)) }},
		{"suspend witness", func(w *World, _ *node) {
			d := w.between(100*time.Millisecond, 20*time.Second)
			w.wit.host.suspend(d, w.chance(0.5))
		}},
		{"cut one way", func(w *World, _ *node) {
			a, b := w.twoHosts()
			w.cutFor(a, b)
		}},
		{"cut", func(w *World, _ *node) {
			a, b := w.twoHosts()
			w.cutFor(a, b)
			w.cutFor(b, a)
		}},
		{"isolate", func(w *World, n *node) {
			for _, other := range w.hostNames() {
				if other != n.host.name {
					w.cutFor(n.host.name, other)
					w.cutFor(other, n.host.name)
				}
			}
		}},
		{"disk hangs", func(w *World, n *node) {
			w.say("fault", "disk of %s hangs", n.me)
			n.data.hung = true
			w.plans(w.between(500*time.Millisecond, 30*time.Second), func() { n.data.hung = false })
		}},
		{"disk fails", func(w *World, n *node) {
			w.say("fault", "disk of %s fails", n.me)
			n.data.failing = true
			w.plans(w.between(500*time.Millisecond, 30*time.Second), func() { n.data.failing = false })
		}},
		{"disk is slow", func(w *World, n *node) {
			d := w.between(10*time.Millisecond, 700*time.Millisecond)
			w.say("fault", "each sync of %s takes %s", n.me, d)
			n.data.slow = d
			w.plans(w.between(500*time.Millisecond, 30*time.Second), func() { n.data.slow = 0 })
		}},
		{"management disk fails", func(w *World, n *node) { w.failDisk(n.host.disk, string(n.me)) }},
		{"witness disk fails", func(w *World, _ *node) { w.failDisk(w.wit.host.disk, arbName) }},
		{"witness loses its records", func(w *World, _ *node) {
			if w.plan.alone || w.wit.server == nil {
				return
			}
			w.say("fault", "witness loses its disk")
			w.wit.server.die()
			w.wit.host.disk.lose()
			w.ledger.records = record.Record{} // what nobody acts upon may be forgotten
			w.plans(w.mostly(2*time.Second, time.Minute), w.wit.start)
		}},
	}
}

// starve lets a machine run by fits and starts: every timer is late.
func (w *World) starve(n *node, left time.Duration) {
	if left <= 0 || w.healed {
		return
	}
	stop, run := w.mostly(300*time.Millisecond, 3*time.Second), w.between(time.Millisecond, 100*time.Millisecond)
	n.host.suspend(stop, true)
	w.plans(stop+run, func() { w.starve(n, left-stop-run) })
}

func (w *World) failDisk(d *disk, whose string) {
	w.say("fault", "management disk of %s fails", whose)
	if w.chance(0.5) {
		d.full = true
	} else {
		d.failing = true
	}
	w.plans(w.between(500*time.Millisecond, 20*time.Second), func() { d.full, d.failing = false, false })
}

// power takes a host away at once, and boots it again.
func (w *World) power(n *node, d time.Duration) {
	if n.host.off {
		return
	}
	w.say("fault", "power of %s fails", n.me)
	n.host.off = true
	n.data.kill()
	if n.server != nil {
		n.server.die()
	}
	n.host.disk.powerLoss()
	w.plans(d, func() {
		if !n.host.off {
			return // healed before
		}
		n.host.off = false
		n.data.leftover = 0
		n.host.offset = time.Hour - time.Duration(float64(w.now)*n.host.rate)
		w.say("fault", "%s boots", n.me)
		w.reviveSoon(n)
	})
}

// powerWitness takes the witness's host away; an etcd has faults of its own.
func (w *World) powerWitness(d time.Duration) {
	h := w.wit.host
	if w.plan.alone || w.plan.etcd || h.off {
		return
	}
	w.say("fault", "power of the witness fails")
	h.off = true
	if w.wit.server != nil {
		w.wit.server.die()
	}
	h.disk.powerLoss()
	w.plans(d, func() {
		if !h.off {
			return // healed before
		}
		h.off = false
		h.offset = time.Hour - time.Duration(float64(w.now)*h.rate)
		w.wit.start()
	})
}

func (w *World) hostNames() []string {
	names := []string{w.nodes[0].host.name, w.nodes[1].host.name}
	if !w.plan.alone {
		names = append(names, w.wit.host.name)
	}
	return names
}

func (w *World) twoHosts() (a, b string) {
	names := w.hostNames()
	i := w.rnd.IntN(len(names))
	j := (i + 1 + w.rnd.IntN(len(names)-1)) % len(names)
	return names[i], names[j]
}

func (w *World) cutFor(a, b string) {
	d := w.mostly(10*time.Second, 90*time.Second)
	w.cutOff(a, b, d)
}

// strike lets something happen now and plans the next.
func (w *World) strike() {
	if w.healed {
		return
	}
	for n := 1 + w.rnd.IntN(5); n > 0 && len(w.plan.kinds) > 0; n-- {
		f := w.plan.kinds[w.rnd.IntN(len(w.plan.kinds))]
		on := w.nodes[w.rnd.IntN(2)]
		w.after(w.mostly(2*time.Second, 8*time.Second), func() {
			if !w.healed {
				f.do(w, on)
			}
		})
	}
	w.plans(w.between(w.plan.gap/4, 2*w.plan.gap), w.strike)
}

// sudden are the faults that may follow a change of the record.
var sudden = []string{"power", "kill both", "isolate", "kill postmaster", "kill supervisor", "break stream", "kill witness", "witness restored", "kill etcd", "etcd emptied", "etcd restored"}

// follow lets something go wrong just when the record has changed: that is when much
// is under way.
func (w *World) follow(r record.Record) {
	if w.healed || !w.chance(w.plan.follows) {
		return
	}
	kinds := slices.DeleteFunc(slices.Clone(w.plan.kinds), func(f fault) bool { return !slices.Contains(sudden, f.name) })
	if len(kinds) == 0 {
		return
	}
	f := kinds[w.rnd.IntN(len(kinds))]
	on := w.nodes[w.rnd.IntN(2)]
	for _, n := range w.nodes {
		if n.me == r.Primary && w.chance(0.6) {
			on = n
		}
	}
	w.after(w.mostly(100*time.Millisecond, 3*time.Second), func() {
		if !w.healed {
			f.do(w, on)
		}
	})
}

// flagDelay is how late the checkpointer hears of a reload.
func (w *World) flagDelay() time.Duration {
	if w.chance(0.3) {
		return w.between(0, w.plan.lateReload)
	}
	return w.mostly(20*time.Millisecond, w.plan.lateReload)
}
