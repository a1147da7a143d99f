package sim

import (
	"context"
	"encoding/json"
	"time"

	"mcctl/pkg/wire"
)

// operators do what the command line does, at any moment.
func operators() []fault {
	return []fault{
		{"switch", func(w *World, n *node) {
			w.ask(n, "switch", func(n *node) error { return n.agent.BeginSwitch() })
			w.ask(w.other(n), "switch", func(n *node) error { return n.agent.BeginSwitch() })
		}},
		{"detach", func(w *World, n *node) {
			if w.plan.commands { // to a server that is not heard it is an operator's word that the other one is off
				return
			}
			w.request(n, wire.KindDetach, wire.DetachRequest{})
			w.plans(w.between(time.Second, 30*time.Second), func() { w.request(n, wire.KindAttach, struct{}{}) })
		}},
		{"failover off", func(w *World, n *node) {
			w.request(n, wire.KindFailover, wire.FailoverRequest{On: false})
			w.plans(w.between(time.Second, 20*time.Second), func() { w.request(n, wire.KindFailover, wire.FailoverRequest{On: true}) })
		}},
		{"stop and start", func(w *World, n *node) {
			n.kept = true
			w.request(n, wire.KindStop, wire.StopRequest{KeepPostgres: w.chance(0.3)})
			w.plans(w.between(2*time.Second, 40*time.Second), func() {
				n.kept = false
				if n.server != nil { // it did not come to an end
					n.server.die()
				}
				n.start()
			})
		}},
		{"rebuild", func(w *World, n *node) { w.request(n, wire.KindRebuild, wire.RebuildRequest{}) }},
	}
}

func (w *World) other(n *node) *node {
	if w.nodes[0] == n {
		return w.nodes[1]
	}
	return w.nodes[0]
}

// ask has an operator's command reach the supervisor of n, if one runs.
func (w *World) ask(n *node, what string, do func(*node) error) {
	s := n.server
	if s == nil || n.agent == nil || s.frozen() {
		return
	}
	w.say("operator", "%s on %s", what, n.me)
	w.begin(s.process, "operator "+what, func() {
		if err := do(n); err != nil {
			w.say("operator", "%s on %s: %v", what, n.me, err)
		}
	})
}

func (w *World) request(n *node, kind string, q any) {
	a := n.agent
	w.ask(n, kind, func(*node) error {
		body, err := json.Marshal(q)
		if err != nil {
			return err
		}
		_, err = a.Handle(context.Background(), wire.Identity{Name: wire.LocalName}, kind, body)
		return err
	})
}
