package config

import "mcctl/pkg/hook"

// checkFencingDelay: a primary needs the heartbeat timeout to miss its standby.
func (p *Pair) checkFencingDelay(at *source) {
	delay, least := p.Arbiter.FencingDelay, p.Timings.HeartbeatTimeout
	if p.Arbiter.Kind == Command && delay.Duration < least.Duration {
		at.complain("arbiter.fencing_delay", "is %v; it must be at least timings.heartbeat_timeout (%v)", delay, least)
	}
}

// checkArbitration asks for the commands without which an arbiter of kind command
// could never decide.
func (s *Server) checkArbitration(at *source, p Pair) {
	if p.Arbiter.Kind != Command {
		return
	}
	for _, one := range s.Commands.each() {
		if (one.kind == hook.Fencing || one.kind == hook.Arbitration) && *one.path == "" {
			at.complain("commands."+string(one.kind), "is missing; arbiter.kind is %q, which needs it on both servers (docs/commands.md)", Command)
		}
	}
}
