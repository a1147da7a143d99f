package sim

import (
	"context"
	"log/slog"
	"syscall"
	"time"

	"mcctl/pkg/agent"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/pkg/witness"
)

const (
	pairName = "p"
	arbName  = "arbiter"
	mcdir    = "/nowhere/mc" // a path that is not there: what is not simulated finds nothing
	records  = "/nowhere/records"

	recordOfWitness = records + "/" + pairName + ".json"
)

// node is a server of the pair: its host, its data, and the supervisor that runs now.
type node struct {
	w      *World
	host   *host
	data   *cluster
	config *config.Config
	me     pair.Server
	server *server // nil while no supervisor runs
	agent  *agent.Agent
	leave  context.CancelFunc
	kept   bool // an operator stopped it: nothing starts it by itself
}

func (w *World) configure(me string) *config.Config {
	c := config.Defaults()
	c.Dir = mcdir
	c.Pair.Name, c.Pair.Arbiter.Kind, c.Pair.Arbiter.Address = pairName, config.Witness, "arb:1"
	if w.plan.alone {
		c.Pair.Arbiter.Kind, c.Pair.Arbiter.Address = config.None, ""
	}
	if w.plan.commands {
		c.Pair.Arbiter.Kind = config.Command
	}
	if w.plan.etcd {
		c.Pair.Arbiter.Kind, c.Pair.Arbiter.Address, c.Pair.Arbiter.Etcd.Prefix = config.Etcd, "", etcdPrefix
		for i := range etcdMembers {
			c.Pair.Arbiter.Etcd.Endpoints = append(c.Pair.Arbiter.Etcd.Endpoints, etcdEndpoint(i))
		}
	}
	c.Pair.Servers = map[string]config.Endpoint{}
	for _, name := range []string{"server1", "server2"} {
		c.Pair.Servers[name] = config.Endpoint{Admin: name + ":1", Replication: name + ":2"}
	}
	c.Pair.Timings = w.plan.timings
	c.Pair.Policy.ManageSynchronizedStandbySlots = false
	c.Server.Name, c.Server.DataDirectory = me, mcdir+"/data"
	c.Server.Replication.User = "r"
	return &c
}

// start begins a life of the supervisor, as the watch or systemd does.
func (n *node) start() {
	if n.server != nil || n.host.off {
		return
	}
	p := n.w.newProcess(n.host, "mc "+string(n.me))
	n.server = &server{process: p, beating: map[string]*conn{}}
	this := n.server
	p.onDeath = func() {
		if n.server == this {
			n.server, n.agent = nil, nil
		}
	}
	lived := p.guard(func() { n.assemble(p) })
	if !lived || n.agent == nil {
		n.w.after(time.Second, func() { n.start() })
		return
	}
	n.w.say(p.name, "started")
}

func (n *node) assemble(p *process) {
	w := n.w
	in := instance{n.data, p}
	world := agent.World{
		Clock: procClock{w, p}, Disk: procDisk{n.host.disk, p}, Postgres: in, Watched: watched{in}, Site: site{in},
		Link:    func(to string, c wire.LinkConfig) agent.Link { return w.bugs.link(newLink(p, to, c)) },
		Port:    func(ctx context.Context, _ string) error { return n.tryPort(ctx, p) },
		Command: func(ctx context.Context, c hook.Call) hook.Outcome { return n.command(ctx, p, c) },
		Begin: func(work func()) {
			p.enter()
			w.begin(p, "work", work)
		},
		Web:   newWeb(p),
		Event: func(e agent.Event) { w.say(p.name, "%s", e.Text) },
	}
	w.bugs.world(n, &world)
	a, err := agent.Supervise(world, agent.Options{Config: n.config, Log: slog.New(slog.DiscardHandler), Version: "sim"})
	if err != nil {
		w.say(p.name, "does not start: %v", err)
		p.die()
		return
	}
	n.agent, n.server.handler = a, w.bugs.supervisor(n, a)
	ctx, leave := context.WithCancel(context.Background())
	n.leave = leave
	for _, work := range a.Works() {
		if work.Name == "keeper" && w.plan.alone {
			continue // it would only wait for its end
		}
		w.begin(p, work.Name, func() { n.ends(p, work.Name, work.Do(ctx)) })
	}
	w.begin(p, "disk", func() { n.watchDisk(p, a) })
}

// ends is called when a work of the supervisor has ended. The loop ends last, but for a
// keeper that gives its lease back.
func (n *node) ends(p *process, work string, err error) {
	if work == "loop" {
		n.w.say(p.name, "ended: %v", err)
	}
	switch {
	case work == "loop" && n.w.plan.etcd:
		n.leave()
	case work == "loop", work == "keeper":
		n.w.after(0, p.die)
	}
}

// watchDisk is what the I/O probe tells.
func (n *node) watchDisk(p *process, a *agent.Agent) {
	clock := procClock{n.w, p}
	t := n.config.Timings()
	var since time.Duration
	place := board.Place{Path: n.config.Server.DataDirectory}
	for failed := false; ; {
		clock.Wait(context.Background(), t.IOProbeInterval.Duration, nil)
		switch {
		case !n.data.hung:
			since = 0
		case since == 0:
			since = clock.Now()
		}
		now := n.data.failing || since > 0 && clock.Now()-since >= t.IOProbeTimeout.Duration
		if now != failed || n.data.free<<30 != place.Free || place.Total == 0 {
			failed, place.Total, place.Free = now, diskSize<<30, n.data.free<<30
			a.Note(func(s *board.Sight) { s.DiskFailed, s.Places = failed, []board.Place{place} })
		}
	}
}

// tryPort is a fresh connection to the other PostgreSQL's port.
func (n *node) tryPort(ctx context.Context, p *process) error {
	w, o := n.w, n.w.peer(n.data)
	clock := procClock{w, p}
	me, there := n.host.name, o.host.name
	for {
		clock.Wait(ctx, 2*w.delay(), nil)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if w.cut(me, there) || w.cut(there, me) || o.host.off || o.host.asleep {
			clock.Wait(ctx, retransmit, nil)
			continue
		}
		switch {
		case o.pm == nil:
			return syscall.ECONNREFUSED
		case !o.pm.frozen:
			return nil
		}
	}
}

// listener is who takes connections on that host now.
func (w *World) listener(name string) *server {
	if name == w.wit.host.name {
		return w.wit.server
	}
	for _, n := range w.nodes {
		if n.host.name == name {
			return n.server
		}
	}
	return nil
}

// witnessHost is the arbiter's host.
type witnessHost struct {
	w        *World
	host     *host
	server   *server
	past     []record.Record // what it had before, newest last
	restored record.Record   // that came back from a backup, and nothing was written since
}

func (h *witnessHost) start() {
	if h.server != nil || h.host.off {
		return
	}
	p := h.w.newProcess(h.host, "witness")
	s := &server{process: p, beating: map[string]*conn{}}
	p.onDeath = func() {
		if h.server == s {
			h.server = nil
		}
	}
	p.guard(func() {
		wit, err := witness.New(witness.Config{
			Records: records, HeartbeatTimeout: h.w.plan.timings.HeartbeatTimeout.Duration, Version: "sim",
			Log: slog.New(slog.DiscardHandler), Clock: procClock{h.w, p}, Disk: procDisk{h.host.disk, p},
		})
		if err != nil {
			h.w.say(p.name, "does not start: %v", err)
			p.die()
			return
		}
		s.handler = h.w.bugs.witness(h.w, wit)
		h.server = s
	})
	h.w.say(p.name, "started")
}

// record is the record as whoever holds it has it on the disk, and whether there is one.
func (w *World) record() (record.Record, bool) {
	if !w.recordStale {
		return w.newest, w.newest.Exists()
	}
	w.newest, w.recordStale = w.readRecord(), false
	return w.newest, w.newest.Exists()
}

func (w *World) readRecord() (r record.Record) {
	if w.plan.etcd {
		return w.etcd.record()
	}
	if !w.plan.alone {
		return w.wit.record()
	}
	for _, n := range w.nodes {
		c := n.host.disk.record(n.config.Path("record.json"))
		if c.NewerThan(r) || c.Primary == n.me && !r.NewerThan(c) { // of a pledge only the primary's copy tells
			r = c
		}
	}
	return r
}
