package sim

import (
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// healing is how long the pair may take to be whole again once nothing is broken any
// more: a base backup, begun again twice, is the longest that may be needed.
const healing = 6 * time.Minute

// heal ends every fault, and what operators have said.
func (w *World) heal() {
	w.say("heal", "no more faults")
	w.healed = true
	w.plan.promoteFails = 0
	clear(w.cuts)
	for _, n := range w.nodes {
		n.host.off, n.kept = false, false
		n.data.hung, n.data.failing, n.data.slow, n.data.free = false, false, 0, roomy
		n.host.disk.mend()
		if n.data.pm != nil {
			n.data.pm.frozen = false
		}
		if n.server != nil {
			n.server.stopped, n.server.killIn = false, 0
		}
	}
	w.wit.host.off = false
	w.wit.host.disk.mend()
	w.etcd.heal()
	w.startArbiter()
	w.keepAlive()
}

// keepAlive starts what is not running, and takes back what operators have asked for.
func (w *World) keepAlive() {
	for _, n := range w.nodes {
		if n.server == nil {
			n.start()
			continue
		}
		if s, _ := n.agent.Sight(); s.FailoverOff {
			w.request(n, wire.KindFailover, wire.FailoverRequest{On: true})
		} else if s.Held && s.Names(n.me) {
			w.request(n, wire.KindAttach, struct{}{})
		}
	}
	w.after(5*time.Second, w.keepAlive)
}

// whole reports whether the pair is paired, writable and at rest, or what is missing.
func (w *World) whole(since int) (missing string) {
	r, known := w.record()
	switch {
	case !known || r.Mode != pair.Paired:
		return fmt.Sprintf("the record is %s", r)
	case w.ledger.acks <= since:
		return "no commit is acknowledged"
	}
	for _, n := range w.nodes {
		if n.agent == nil {
			return fmt.Sprintf("no supervisor on %s", n.me)
		}
		s, rule := n.agent.Sight()
		want := decide.PostgresStandby
		if r.Primary == n.me {
			want = decide.PostgresOpen
		}
		if got := board.Postgres(s); got != want || s.Doing != "" {
			return fmt.Sprintf("%s is %s, rule %d, doing %q: %s", n.me, got, rule.ID, s.Doing, s.Progress)
		}
		if s.Held {
			return fmt.Sprintf("%s would hold the other off", n.me)
		}
		if pm := n.data.pm; pm != nil && pm.paused {
			return fmt.Sprintf("replay is paused on %s", n.me)
		}
		if !n.agent.Settled() {
			return fmt.Sprintf("%s: the standby was not told that they are paired", n.me)
		}
	}
	return ""
}

// becomesWhole is L1 and L2.
func (w *World) becomesWhole() {
	since, end := w.ledger.acks, w.calendar()+healing
	for w.broken == nil && w.calendar() < end {
		w.until(w.calendar() + time.Second)
		if w.whole(since) == "" {
			return
		}
	}
	if w.broken == nil {
		w.breaks("L2", "not whole %s after the last fault: %s", healing, w.whole(since))
	}
}
