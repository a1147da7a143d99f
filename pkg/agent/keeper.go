package agent

import (
	"mcctl/pkg/arbiter"
	"mcctl/pkg/config"
	"mcctl/pkg/wire"
)

// newKeeper makes the keeper of the record that pair.toml names.
func (a *Agent) newKeeper() (arbiter.Keeper, error) {
	c, t := a.config, a.config.Pair.Timings
	switch of := c.Pair.Arbiter; of.Kind {
	case config.Command:
		a.fencing.due = make(chan struct{}, 1)
		a.fencing.keeper = arbiter.NewCommand(a.own, c.Me(), a.peerRecord, a.askWord)
		return a.fencing.keeper, nil
	case config.None:
		return arbiter.NewLocal(a.own, c.Me(), a.peerRecord), nil
	case config.Etcd:
		return arbiter.NewEtcd(arbiter.EtcdConfig{
			Endpoints: of.Etcd.Endpoints, Prefix: of.Etcd.Prefix, Pair: c.Pair.Name, Me: c.Me(), Other: c.Other(),
			CA: of.Etcd.CA, Certificate: of.Etcd.Certificate, Key: of.Etcd.Key,
			Username: of.Etcd.Username, PasswordFile: of.Etcd.PasswordFile,
			Interval: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration,
		}, a.witnessReport, a.board.Wake)
	default:
		dial := func(l wire.LinkConfig) arbiter.Link { return a.world.Link(arbiterName, l) }
		return arbiter.NewWitnessOver(dial, a.clock, wire.LinkConfig{
			Addr:     of.Address,
			Interval: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration,
		}, a.witnessReport, a.board.Wake), nil
	}
}
