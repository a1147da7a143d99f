package sim

import (
	"context"
	"time"

	"mcctl/pkg/hook"
)

// command runs a command of the site in this world: arbitration, which may be wrong
// either way, or fencing, whose yes is always true.
func (n *node) command(ctx context.Context, p *process, c hook.Call) hook.Outcome {
	n.w.say(p.name, "calls %s of %s", c.Command, c.Target)
	ctx, cancel := procClock{n.w, p}.Timeout(ctx, 20*time.Second, nil)
	defer cancel()
	yes := n.w.chance(0.9) == n.w.gone(n.w.other(n))
	if c.Command == hook.Fencing {
		yes = n.fence(ctx, p)
	}
	out := hook.Outcome{Exit: 1}
	procClock{n.w, p}.Wait(ctx, n.w.mostly(200*time.Millisecond, 30*time.Second), nil)
	switch {
	case ctx.Err() != nil:
		out = hook.Outcome{Exit: -1, TimedOut: true}
	case yes:
		out.Exit = 0
	}
	n.w.say(p.name, "%s: %s", c.Command, out)
	return out
}

// fence powers the other server off, if it can. The machine may be back before the
// command returns.
func (n *node) fence(ctx context.Context, p *process) (done bool) {
	w := n.w
	procClock{w, p}.Wait(ctx, w.mostly(500*time.Millisecond, 30*time.Second), nil)
	if ctx.Err() != nil || w.chance(0.2) {
		return false
	}
	if other := w.other(n); !other.host.off {
		w.power(other, w.mostly(10*time.Second, time.Minute))
	}
	return true
}

// gone: nothing of that server runs.
func (w *World) gone(n *node) bool { return n.host.off || n.server == nil && n.data.pm == nil }
