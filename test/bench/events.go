package main

import (
	"context"
	"fmt"
	"slices"

	"mcctl/pkg/pair"
	"mcctl/test/bench/floor"
	"mcctl/test/bench/stage"
)

// event is one thing that happens to a healthy pair under writers.
type event struct {
	name  string
	title string
	// floor is what bare PostgreSQL is made to do for comparison; empty where it
	// cannot do the like.
	floor floor.Event
	act   func(context.Context, *trial) error
	// mend is what an operator or the end of the trouble does afterwards, once the
	// clients can write; nil where the pair mends itself.
	mend      func(context.Context, *trial) error
	mendTitle string
	moves     bool // the other server is primary afterwards
	frozen    bool // somebody is let go on who was frozen and may not know
}

// events in the order of the table.
func events() []event {
	return []event{
		{name: "nothing", title: "nothing happens (the noise of the machine)", act: nothing},
		{name: "switch", title: "planned switch", floor: floor.Switch, act: switchRoles, moves: true},
		{name: "kill-postmaster", title: "kill -9 of the primary's postmaster", floor: floor.Kill, act: killPostmaster, moves: true},
		{
			name: "kill-server", title: "kill -9 of the primary's supervisor, watch and postmaster", floor: floor.Kill,
			act: killServer, mend: start, mendTitle: "mcctl start on the old primary", moves: true,
		},
		{
			name: "freeze-server", title: "primary's server frozen (power cut, cable)",
			act: freezeServer, mend: thaw, mendTitle: "old primary thawed", moves: true, frozen: true,
		},
		{name: "kill-standby", title: "kill -9 of the standby's postmaster", floor: floor.Detach, act: killStandby},
		{
			name: "kill-standby-server", title: "kill -9 of the standby's supervisor, watch and postmaster", floor: floor.Detach,
			act: killStandbyServer, mend: start, mendTitle: "mcctl start on the standby",
		},
		{
			name: "freeze-standby", title: "standby's server frozen",
			act: freezeStandby, mend: thaw, mendTitle: "standby thawed",
		},
		{
			name: "stop-standby", title: "mcctl stop on the standby",
			act: stopStandby, mend: start, mendTitle: "mcctl start on the standby: it attaches",
		},
		{name: "update-standby", title: "mcctl rolling-update of the standby", act: update(func(t *trial) pair.Server { return t.standby })},
		{
			name: "update-primary", title: "mcctl rolling-update of the primary: it switches", floor: floor.Switch,
			act: update(func(t *trial) pair.Server { return t.primary }), moves: true,
		},
		{name: "kill-supervisor", title: "kill -9 of the primary's supervisor", act: killSupervisor},
		{name: "kill-witness", title: "kill -9 of the witness", act: killWitness},
	}
}

// Two more things are measured that are no events.
const (
	coldStatus = "cold-status"
	atRest     = "at-rest"
)

func eventNames() (names []string) {
	for _, e := range events() {
		names = append(names, e.name)
	}
	return append(names, coldStatus, atRest)
}

func known(names []string) error {
	for _, n := range names {
		if !slices.Contains(eventNames(), n) {
			return fmt.Errorf("measure %s: no such event; there are %v", n, eventNames())
		}
	}
	return nil
}

func nothing(ctx context.Context, _ *trial) error { return stage.Pause(ctx, after) }

func switchRoles(ctx context.Context, t *trial) error {
	_, err := t.Run(ctx, t.primary, "switch")
	return err
}

func killPostmaster(_ context.Context, t *trial) error {
	return stage.Kill(t.pids.Servers[t.primary].Postmaster)
}

func killServer(_ context.Context, t *trial) error {
	t.broken = t.primary
	return stage.Kill(stage.Heads(t.pids.Servers[t.primary])...)
}

func freezeServer(_ context.Context, t *trial) (err error) {
	t.frozen, err = t.Freeze(t.primary)
	return err
}

func killStandby(_ context.Context, t *trial) error {
	return stage.Kill(t.pids.Servers[t.standby].Postmaster)
}

func killStandbyServer(_ context.Context, t *trial) error {
	t.broken = t.standby
	return stage.Kill(stage.Heads(t.pids.Servers[t.standby])...)
}

func freezeStandby(_ context.Context, t *trial) (err error) {
	t.frozen, err = t.Freeze(t.standby)
	return err
}

func stopStandby(ctx context.Context, t *trial) error {
	t.broken = t.standby
	_, err := t.Run(ctx, t.standby, "stop")
	return err
}

// update takes a server out of the pair and brings it back, as if there had been
// something to do on it meanwhile.
func update(whom func(*trial) pair.Server) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		_, err := t.Run(ctx, whom(t), "rolling-update", "--yes", "--exec", "true")
		return err
	}
}

func killSupervisor(_ context.Context, t *trial) error {
	return stage.Kill(t.pids.Servers[t.primary].Supervisor)
}

func killWitness(_ context.Context, t *trial) error { return stage.Kill(t.pids.Witness) }

func start(ctx context.Context, t *trial) error {
	_, err := t.Run(ctx, t.broken, "start")
	return err
}

func thaw(_ context.Context, t *trial) error {
	stage.Thaw(t.frozen...)
	return nil
}
