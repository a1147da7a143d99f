package agent

import (
	"mcctl/pkg/arbiter"
	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

// newKeeper makes the keeper of the record that pair.toml names.
func (a *Agent) newKeeper() (arbiter.Keeper, error) {
	c, t := a.config, a.config.Pair.Timings
	beside := arbiter.Beside{Clock: a.clock, Run: a.aside}
	switch of := c.Pair.Arbiter; of.Kind {
	case config.Command:
		a.fencing.due = make(chan struct{}, 1)
		a.fencing.keeper = arbiter.NewCommand(beside, a.own, c.Me(), a.peerRecord, a.askWord)
		return a.fencing.keeper, nil
	case config.None:
		return arbiter.NewLocal(beside, a.own, c.Me(), a.peerRecord), nil
	case config.Etcd:
		return arbiter.NewEtcdIn(arbiter.EtcdWorld{Clock: a.clock, Begin: a.world.Begin, Web: a.world.Web, Renewed: wire.TellRenewed(a.log)}, arbiter.EtcdOf(c), a.witnessReport, a.board.Wake)
	default:
		dial := func(l wire.LinkConfig) arbiter.Link { return a.world.Link(arbiterName, l) }
		return arbiter.NewWitness(dial, a.clock, wire.LinkConfig{
			Addr:     of.Address,
			Interval: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration,
		}, a.witnessReport, a.board.Wake), nil
	}
}
