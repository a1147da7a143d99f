package agent

import (
	"context"
	"fmt"
	"net/http"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/clock"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/durable"
	"mcctl/pkg/hook"
	"mcctl/pkg/observe"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// World is everything through which a supervisor reaches what is not itself. That of
// this machine is made by Run; the simulator (test/sim) makes its own and drives the
// same supervisor in it, by Supervise.
type World struct {
	Clock    clock.Clock
	Disk     durable.Disk // of the management directory
	Postgres Postgres
	Watched  observe.Postgres
	// Site is nil for the files of this machine.
	Site act.Site
	// Link keeps in touch with the other supervisor, or with the witness (arbiterName).
	Link func(to string, c wire.LinkConfig) Link
	// Web carries questions to etcd; nil for HTTP over the network.
	Web http.RoundTripper
	// Port tries the other PostgreSQL's port; nil for postgres.Answers.
	Port func(ctx context.Context, addr string) error
	// Room measures PostgreSQL's disks; nil where nobody can.
	Room func(context.Context) (observe.Room, error)
	// Command runs a command of the site that is waited for; nil for those of server.toml.
	Command func(context.Context, hook.Call) hook.Outcome
	// Begin runs work beside the caller; nil for goroutines.
	Begin func(work func())
	// Event is told of every event, if set.
	Event func(Event)
}

// Link is a connection that comes back, as wire.Link.
type Link interface {
	Run(ctx context.Context) error
	State() wire.LinkState
	Kick()
	Call(ctx context.Context, kind string, request, answer any) error
}

// Postgres is the local server as this package needs it.
type Postgres interface {
	act.Postgres
	// Unfinished: a rewind or a copy was begun and not finished.
	Unfinished(keepDir string) bool
}

// here is the PostgreSQL of this machine.
type here struct {
	act.Postgres
	in *postgres.Instance
}

func (h here) Unfinished(keepDir string) bool { return exists(keepDir) || h.in.Empty() }

// machine is the world of this machine; self is the program of mcctl.
func machine(c *config.Config, in *postgres.Instance, tls *wire.TLSPair, self string) World {
	room := &observe.Aside{Program: self, Command: observe.RoomCommand, Dir: in.Data, Patience: inspectPatience}
	return World{
		Room:  room.Room,
		Clock: clock.Machine, Disk: durable.Machine, Postgres: here{act.On(in), in}, Watched: observe.On(in),
		Link: func(to string, l wire.LinkConfig) Link {
			l.TLS = tls.Client(to)
			return wire.NewLink(l)
		},
	}
}

// certificate is this server's.
func certificate(c *config.Config) (*wire.TLSPair, error) {
	paths := c.TLS()
	tls, err := wire.LoadTLS(paths.CA, paths.Certificate, paths.Key)
	if err != nil {
		return nil, err
	}
	if me := (wire.Identity{Pair: c.Pair.Name, Name: string(c.Me())}); tls.Own != me {
		return nil, fmt.Errorf("load certificate %s: it is of %s, but this server is %s: check tls.certificate in server.toml", paths.Certificate, tls.Own, me)
	}
	return tls, nil
}

// Supervise makes a supervisor in that world. What it does by itself is in Works, all
// of which must run; it is asked by Handle, Beat and Gone. What a machine's supervisor
// has besides is missing: files to watch, the site's commands, signals, systemd.
func Supervise(w World, opt Options) (*Agent, error) {
	a, err := assembleIn(w, opt)
	if err != nil {
		return nil, err
	}
	a.journal = &journal{log: a.log, closed: true, tell: w.Event}
	a.group.start(context.Background())
	if err := a.recover(); err != nil {
		return nil, err
	}
	return a, nil
}

// Work is what a supervisor does without being asked; it ends with its context.
type Work struct {
	Name string
	Do   func(context.Context) error
}

// Works lists it. What does not wait for the keeper comes behind it.
func (a *Agent) Works() []Work {
	works := []Work{
		{"keeper", a.keeper.Run},
		{"link", a.link.Run},
		{"postmaster", a.local.WatchPostmaster},
		{"look", a.local.LookAround},
		{"settings", a.local.CheckSettings},
		{"knock", a.local.KnockAround},
		{"port", a.neighbour.TryPort},
		{"divergence", a.watchDivergence},
		{"copy", a.keepCopy},
		{"jobs", a.settleJobs},
		{"loop", a.loop},
	}
	if a.fencing.keeper != nil {
		works = append(works, Work{"telling", a.keepTelling})
	}
	return works
}

// Sight is what this supervisor has seen, and by which rule it goes.
func (a *Agent) Sight() (board.Sight, decide.Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.board.Read(), a.rule
}

// Settled: the standby could take over, as far as what the two have told each other goes.
func (a *Agent) Settled() bool { return a.fencing.settled() }

// Note is for watchers that the world has in place of this package's own.
func (a *Agent) Note(change func(*board.Sight)) { a.board.Note(change) }

// BeginSwitch begins a planned switch if nothing that this supervisor knows of is in
// its way.
func (a *Agent) BeginSwitch() error {
	for _, h := range a.conditions(a.board.Read()) {
		if h.State != check.Fine {
			return fmt.Errorf("switch: %w: %s", wire.ErrRefused, h.Text)
		}
	}
	_, err := a.enterSwitch(a.group.ctx)
	return err
}

// fits reports whether the managed settings are as wanted.
func (a *Agent) fits(w settings.Wanted) (bool, error) {
	if a.world.Site == nil {
		return a.files.Hold(w)
	}
	faults, err := a.world.Site.Faults(w)
	return err == nil && len(faults) == 0, err
}
