package sim

// clientTurn writes numbered rows to whichever server takes them, as an application with
// target_session_attrs=read-write does, and remembers what was acknowledged.
func (w *World) clientTurn() {
	for _, c := range w.clusters {
		if c.open() && !c.pm.frozen && !c.host.asleep {
			for range 1 + w.rnd.IntN(w.plan.burst) {
				w.write(c)
			}
		}
	}
	w.after(w.between(w.plan.pace/2, w.plan.pace*3/2), w.clientTurn)
}

// write is a client's commit, begun now.
func (w *World) write(c *cluster) {
	w.ledger.last++
	id, pm := w.ledger.last, c.pm
	pm.commit(id, false, func(acknowledged bool) {
		if acknowledged && !pm.gone {
			w.ledger.acknowledges(c, id)
		}
	})
}
