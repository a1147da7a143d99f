package agent

import (
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

// problem is what goes wrong on this server now: PostgreSQL does not let the
// supervisor in, or the decided action failed and is being tried again. Nobody
// should have to look for that in a log.
func (a *Agent) problem(s board.Sight, rule decide.Rule) string {
	if s.PID != 0 && s.LookAt == 0 && s.LookError != "" {
		return s.LookError
	}
	if err := a.runner.failure(rule.Do); err != nil {
		return fmt.Sprintf("%s fails: %v", rule.Do, err)
	}
	return ""
}

// linkTrouble is why the other supervisor is not reached, and what to do about it.
func linkTrouble(s board.Sight) string {
	if s.Link.Error == "" || s.Link.Refused {
		return "start it there with mcctl start"
	}
	return s.Link.Error
}

// versions tells that the two servers run different programs.
func (a *Agent) versions(s board.Sight, f decide.Facts) string {
	if f.Peer != decide.PeerHere || s.Report.Version == a.opt.Version {
		return ""
	}
	return fmt.Sprintf("%s runs mcctl %s, this server %s: install the same on both", a.config.Other(), s.Report.Version, a.opt.Version)
}

// keeperStatus is the arbiter as it is seen from here.
func (a *Agent) keeperStatus(s board.Sight) wire.ArbiterStatus {
	st := wire.ArbiterStatus{Kind: string(a.config.Pair.Arbiter.Kind), Address: a.config.Pair.Arbiter.Address, Reached: s.KeeperReached}
	if !st.Reached {
		st.Error = a.keeper.Problem()
	}
	return st
}
