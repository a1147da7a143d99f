package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"mcctl/pkg/config"
)

// plan is what the seed draws before anything happens: how this world is made, and
// which kinds of faults it has. Seeds so differ in kind, not only in timing.
type plan struct {
	alone         bool // no third host: the primary keeps the record
	commands      bool // and commands of the site arbitrate
	etcd          bool // an etcd in the place of the witness
	timings       config.Timings
	slowly        float64 // how many messages are slow
	duplicates    bool
	lateFlag      bool          // PostgreSQL sets the flag some time after its start
	lateReload    time.Duration // how late the checkpointer may hear of a reload
	senderTimeout time.Duration
	promoteFails  float64
	pace          time.Duration // between a client's writes
	burst         int           // most clients that write at the same time
	chunk         int           // most records that a walsender sends at a time
	gap           time.Duration // between faults, on average
	kinds         []fault
	ownCheckpoint time.Duration // after a promotion, spread by PostgreSQL itself
	absent        float64       // how often a machine stays away for minutes
	follows       float64       // how often a fault follows a change of the record
}

func draw(seed uint64, rnd *rand.Rand) plan {
	span := func(least, most time.Duration) time.Duration {
		return least + time.Duration(rnd.Int64N(int64(most-least)))
	}
	kind := rnd.IntN(6) // of the arbiter
	p := plan{
		alone:         kind <= 1,
		commands:      kind == 1,
		etcd:          kind == 5,
		slowly:        max(0, 0.08*rnd.Float64()-0.04),
		duplicates:    rnd.IntN(2) == 0,
		lateFlag:      rnd.IntN(2) == 0,
		lateReload:    span(50*time.Millisecond, 4*time.Second),
		senderTimeout: span(5*time.Second, time.Minute),
		pace:          span(30*time.Millisecond, 400*time.Millisecond),
		ownCheckpoint: span(time.Second, 270*time.Second),
		absent:        0.2 * rnd.Float64(),
		follows:       0.3 * rnd.Float64(),
		gap:           span(20*time.Second, 3*time.Minute),
		burst:         1 + rnd.IntN(4),
		chunk:         1 + rnd.IntN(16),
	}
	if rnd.IntN(3) == 0 {
		p.promoteFails = 0.1
	}
	profile := config.ProfileDefault
	if rnd.IntN(4) == 0 {
		profile = config.ProfileTight
	}
	p.timings, _ = config.Profile(profile)
	p.may(rnd, slices.Concat(processFaults(), hostFaults(), operators()))
	// From numbers of their own, so that no other seed changes.
	p.may(rand.New(rand.NewPCG(seed, 0x726f6f6d)), roomFaults())
	if p.alone {
		p.may(rand.New(rand.NewPCG(seed, 0x636f7079)), copyFaults())
	}
	p.may(rand.New(rand.NewPCG(seed, 0x73796e63)), syncFaults())
	switch {
	case p.etcd:
		p.may(rand.New(rand.NewPCG(seed, 0x65746364)), etcdFaults())
	case !p.alone:
		p.may(rand.New(rand.NewPCG(seed, 0x7769746e)), witnessFaults())
	}
	return p
}

// may lets the world have most of these faults.
func (p *plan) may(rnd *rand.Rand, have []fault) {
	for _, f := range have {
		if rnd.IntN(3) > 0 {
			p.kinds = append(p.kinds, f)
		}
	}
}
