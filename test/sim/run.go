package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// newWorld makes a pair that has just been initialised.
func newWorld(seed uint64, b bugs) *World {
	w := &World{Seed: seed, rnd: rand.New(rand.NewPCG(seed, 0x6d63)), cuts: map[way]bool{}, bugs: b, recordStale: true}
	w.ledger = &ledger{w: w}
	w.plan = draw(seed, w.rnd)
	w.wit = &witnessHost{w: w, host: w.newHost(arbName)}
	w.etcd = newEtcd(w, w.wit.host)
	for i, name := range []string{"server1", "server2"} {
		h := w.newHost(name)
		other := pair.Server([]string{"server2", "server1"}[i])
		n := &node{w: w, host: h, me: pair.Server(name), data: newCluster(w, h, pair.Server(name), other)}
		n.config = w.configure(name)
		w.nodes[i], w.clusters[i] = n, n.data
	}
	standby := w.clusters[1]
	standby.marked = true
	standby.control.State = 2 // shut down in recovery
	return w
}

func (w *World) newHost(name string) *host {
	return &host{w: w, name: name, offset: time.Hour + w.between(0, time.Hour), rate: 0.98 + 0.04*w.rnd.Float64(), disk: newDisk(w)}
}

// boot writes what an initialised pair has on its disks, and starts everything.
func (w *World) boot() {
	for _, n := range w.nodes {
		p := &process{w: w, host: n.host}
		if err := (procDisk{n.host.disk, p}).WriteJSON(n.config.Path("record.json"), record.First(pairName, "server1"), 0o600); err != nil {
			panic(err)
		}
	}
	w.startArbiter()
	for _, n := range w.nodes {
		w.after(w.between(0, 3*time.Second), n.start)
	}
	w.after(time.Second, w.clientTurn)
	w.after(time.Second, w.watchService)
}

func (w *World) startArbiter() {
	switch {
	case w.plan.etcd:
		w.etcd.start()
	case !w.plan.alone:
		w.wit.start()
	}
}

// Outcome is what a run showed.
type Outcome struct {
	Seed   uint64
	Length time.Duration // simulated before the healing
	Err    error         // the promise that was broken; nil when all held
	Sum    uint64
	Lines  int
	Acks   int
	Told   int
	Active time.Duration // of the simulated time, what was computed
	tail   string
}

// Run simulates a pair for that long, heals everything, and demands that it becomes
// whole.
func Run(seed uint64, length time.Duration) Outcome { return run(newWorld(seed, bugs{}), length) }

func run(w *World, length time.Duration) Outcome {
	w.say("seed", "%d, arbiter %s, timings %s", w.Seed, kindOf(w), w.plan.timings.Profile)
	w.boot()
	w.plans(w.between(0, time.Minute), w.strike)
	w.after(500*time.Millisecond, w.leaveOutCalm)
	w.until(length)
	if w.broken == nil {
		w.heal()
		w.becomesWhole()
	}
	if w.broken == nil {
		w.ledger.all()
	}
	w.end()
	return Outcome{Seed: w.Seed, Length: length, Err: w.broken, Sum: w.trace.sum, Lines: w.trace.count, Acks: w.ledger.acks, Told: len(w.ledger.told), Active: w.now, tail: w.trace.tail()}
}

// end ends every process, so that nothing of the run is left.
func (w *World) end() {
	for _, n := range w.nodes {
		if n.server != nil {
			n.server.die()
		}
	}
	if w.wit.server != nil {
		w.wit.server.die()
	}
}

func kindOf(w *World) config.ArbiterKind { return w.nodes[0].config.Pair.Arbiter.Kind }

// Report says what happened last and how to see it again.
func (o Outcome) Report() string {
	return fmt.Sprintf("seed %d: %v\n%s\nto see it again: make sim SEED=%d MINUTES=%d", o.Seed, o.Err, o.tail, o.Seed, int(o.Length.Minutes()))
}
