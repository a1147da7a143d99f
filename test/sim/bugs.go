package sim

import (
	"mcctl/pkg/agent"
	"mcctl/pkg/witness"
)

// bugs are faults of the product that a test plants, to see that the checkers find
// them. Empty there are none.
type bugs struct {
	forget   func(file string, v any) bool // a write that is not done
	unsynced bool                          // what is read is taken for durable
	overLink func(*link) agent.Link
	inWorld  func(*node, *agent.World)
	asked    func(*World, *witness.Witness) handler
	heard    func(*node, *agent.Agent) handler
	// anySource: nobody asks whether one copies from an open primary.
	anySource bool
	tune      func(*World) // makes the world harder
	follows   bool         // nearly every change of the record is followed by a fault
	restarts  bool         // a postmaster that crashed starts anew by itself
}

func (b bugs) forgets(file string, v any) bool { return b.forget != nil && b.forget(file, v) }

func (b bugs) link(l *link) agent.Link {
	if b.overLink != nil {
		return b.overLink(l)
	}
	return l
}

func (b bugs) world(n *node, w *agent.World) {
	if b.inWorld != nil {
		b.inWorld(n, w)
	}
}

func (b bugs) supervisor(n *node, a *agent.Agent) handler {
	if b.heard != nil {
		return b.heard(n, a)
	}
	return a
}

func (b bugs) witness(w *World, wit *witness.Witness) handler {
	if b.asked != nil {
		return b.asked(w, wit)
	}
	return wit
}
