// Package agent is the supervisor of one server: the loop observe → decide → act,
// and everything that has to run beside it. It owns every goroutine, the signals
// and the listeners, and nothing of the policy: that is package decide. It is run
// by the command line (mcctl start) and by nobody else.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"mcctl/pkg/act"
	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/observe"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// Options are what the command line decides.
type Options struct {
	Config  *config.Config
	Log     *slog.Logger
	Version string
	// Failover turns automatic switch and detach on or off; nil keeps what was.
	Failover *bool
	// LeaveDown leaves a PostgreSQL that does not run as it is (--mc-only), until somebody
	// has started it; nil keeps what was.
	LeaveDown *bool
	// WaitForArbiter makes the start fail when the arbiter cannot be reached.
	WaitForArbiter bool
	// Stops gives a signal for each time that an operator asks for the stop.
	Stops <-chan os.Signal
	// Unwatched tells that nobody is left to start this supervisor again when it dies;
	// nil where that is not mcctl's own watch but systemd, or the like.
	Unwatched func() bool
}

// Agent is a running supervisor.
type Agent struct {
	opt    Options
	config *config.Config
	log    *slog.Logger
	board  *board.Board
	limits limits

	clock     clock.Clock
	world     World
	postgres  *postgres.Instance
	server    Postgres // the same, as the loop and the actions need it
	local     *observe.Local
	neighbour *observe.Neighbour
	keeper    arbiter.Keeper
	tls       *wire.TLSPair
	link      Link
	store     *act.Store
	own       *arbiter.Copy
	jobs      *act.Jobs
	hands     *act.Hands
	files     *observe.Files
	runner    *runner
	journal   *journal
	commands  *commands
	warm      *warm[act.Session]
	asked     *warm[*postgres.Session] // for who only wants to know, so that the pair's own questions never wait for those
	systemd   *notifier
	replay    replayHold
	pauses    *pauseState
	telling   telling
	fencing   fencer
	connected bool // of peerChanged alone
	group     *group
	advice    advice // of the loop alone
	outcomes  *outcomes

	checkpointing atomic.Bool
	leftDown      atomic.Bool // see Options.LeaveDown

	moving sync.Mutex    // held by the one move of the arbiter
	moved  chan struct{} // move.json was written
	turned atomic.Bool   // this supervisor is about to begin anew
	leaves atomic.Bool   // an operator ends the supervisor alone

	unmet   atomic.Bool // see mayGoBy
	meeting atomic.Bool // that it is met is being noted

	looker observe.Aside

	wishing    sync.Mutex  // held while a wish is saved, taken before mu
	savingWord atomic.Bool // see saveWord
	endingHold atomic.Bool // see endOldHold

	configRefused atomic.Bool // pair.toml or server.toml is not the one in force

	mu    sync.Mutex // never held while a disk is waited for: the loop needs it
	rule  decide.Rule
	facts decide.Facts
	// detachRule is the newest rule by which a detach was decided.
	detachRule int
	wishes     act.Wishes
	toldLost   string        // what of it the journal has
	repeats    repeats       // what it has of actions that fail
	sent       wire.Report   // essence of the last report, to see what is news
	copyDue    chan struct{} // the record is newer than the own copy
	stopped    chan struct{} // closed when the operator's stop is complete
}

// Run supervises until ctx ends (then PostgreSQL goes on) or an operator stops it. After
// ErrAgain it is to be called again, in the same process.
func Run(ctx context.Context, opt Options) error {
	if os.Geteuid() == 0 {
		return errors.New("start supervisor: PostgreSQL does not run as root; start mcctl as the owner of the data directory")
	}
	// One processor is plenty, and saves the runtime most of its wake-ups: an idle
	// supervisor costs a third of what it costs with two.
	runtime.GOMAXPROCS(1)
	makeThreads(spareThreads)
	unlock, err := lock(opt.Config)
	if err != nil {
		return err
	}
	defer unlock()
	release, err := lockData(opt.Config)
	if err != nil {
		return err
	}
	defer release()
	a, err := assemble(opt)
	if err != nil {
		return err
	}
	defer a.journal.close()
	defer a.warm.close()
	defer a.asked.close()
	defer a.systemd.giveBack()
	return a.passOn(a.run(ctx))
}

// assemble makes the supervisor of this machine.
func assemble(opt Options) (*Agent, error) {
	c, s := opt.Config, opt.Config.Server
	in := &postgres.Instance{
		Data: s.DataDirectory, Bin: s.BinDirectory, ConfigFile: s.ConfigFile, LogFile: s.LogFile, Socket: s.Postgres.SocketDirectory,
		Port: s.Postgres.Port, User: s.Postgres.User, Database: s.Postgres.Database, Passfile: s.Postgres.Passfile,
	}
	tls, err := certificate(c)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a, err := assembleIn(machine(c, in, tls, self), opt)
	if err != nil {
		return nil, err
	}
	if tls.OutOfDate != nil {
		a.log.Error(tls.OutOfDate.Error())
	}
	tls.Renewed(wire.TellRenewed(a.log))
	a.postgres, a.tls, a.systemd = in, tls, newNotifier()
	a.asked = newWarm(clock.Machine.Mutex(), in.Connect)
	a.looker.Program, a.looker.Command, a.looker.Dir, a.looker.Patience = self, observe.LookCommand, c.Dir, inspectPatience
	a.journal = openJournal(c.Path("log", "events.jsonl"), a.log)
	return a, a.openCommands()
}

// assembleIn makes a supervisor in any world.
func assembleIn(w World, opt Options) (*Agent, error) {
	c := opt.Config
	a := &Agent{opt: opt, config: c, log: opt.Log, board: board.NewBoard(), copyDue: make(chan struct{}, 1), moved: make(chan struct{}, 1), outcomes: newOutcomes(), stopped: make(chan struct{})}
	a.world, a.clock, a.server, a.limits = w, w.Clock, w.Postgres, limits{c}
	a.systemd, a.telling.clock, a.fencing.clock = &notifier{}, a.clock, a.clock
	a.warm = newWarm(a.clock.Mutex(), a.server.Connect)
	a.pauses = &pauseState{}
	a.pauses.left.Store(true) // by an earlier life
	a.replay = replayHold{warm: a.warm, clock: a.clock, mu: a.clock.Mutex(), pauses: a.pauses}
	a.store = act.NewStore(c.Path)
	a.store.Disk = w.Disk
	var err error
	if a.jobs, err = act.LoadJobs(a.store); err != nil {
		return nil, err
	}
	if err := a.remember(); err != nil {
		return nil, err
	}
	rebuilds, goesOn, err := act.LoadRebuilds(w.Disk, c.Path("rebuild.json"))
	if err != nil {
		return nil, err
	}
	if goesOn {
		a.board.Note(func(s *board.Sight) { s.Task = decide.TaskRebuild })
	}
	if err := a.connect(); err != nil {
		return nil, err
	}
	a.group = newGroup()
	if w.Begin != nil {
		a.group.begins = w.Begin
	}
	a.hands = &act.Hands{
		Config: c, Postgres: a.server, Keeper: a.keeper, Peer: a.link, Board: a.board, Copy: a.own, Jobs: a.jobs, Rebuilds: rebuilds, Log: a.log,
		Look: func() { a.local.Kick() }, Background: a.background, Aside: a.aside,
		Tell: a.tell, Discarded: a.discarded, CallFencing: a.beginFencing, Clock: w.Clock, Site: w.Site,
	}
	a.observers()
	a.runner = newRunner(a.hands.Do, a.board, a.local.Kick, a.opDone)
	a.runner.clock = a.clock
	if w.Begin != nil {
		a.runner.begins = w.Begin
	}
	return a, nil
}

// remember loads what an earlier life has left.
func (a *Agent) remember() error {
	var err error
	if a.own, err = arbiter.OpenCopy(a.world.Disk, a.config.Path("record.json")); err != nil {
		return err
	}
	if a.wishes, err = a.store.LoadWishes(); err != nil {
		return fmt.Errorf("load wishes: %w", err)
	}
	if err := a.wish(func(w *wishes) {
		if on := a.opt.Failover; on != nil {
			w.FailoverOff = !*on
		}
		if down := a.opt.LeaveDown; down != nil {
			w.LeftDown = *down
		}
	}); err != nil {
		return err
	}
	a.leftDown.Store(a.wishes.LeftDown)
	a.board.Note(func(s *board.Sight) {
		s.Started, s.Copy, s.Record = a.clock.Now(), a.own.Get(), a.own.Get()
		s.FailoverOff = a.wishes.FailoverOff || !a.config.Policy().Failover
		s.Held, s.PeerResting, s.PeerFailoverOff = a.wishes.Held, a.wishes.PeerResting, a.wishes.PeerFailoverOff
	})
	return nil
}

// arbiterName is the arbiter's in its certificate.
const arbiterName = "arbiter"

// connect makes the links to the other server and to the keeper of the record.
func (a *Agent) connect() (err error) {
	c, t := a.config, a.config.Pair.Timings
	a.link = a.world.Link(string(c.Other()), wire.LinkConfig{
		Addr:     c.Endpoint(c.Other()).Admin,
		Interval: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration,
		Beat: a.beat, Answer: func(string, json.RawMessage) { a.telling.answered() }, Changed: a.peerChanged,
	})
	a.keeper, err = a.newKeeper()
	return err
}

func (a *Agent) observers() {
	t := a.config.Pair.Timings
	a.local = observe.NewLocal(observe.Local{
		Board: a.board, Instance: a.world.Watched, Clock: a.clock, Peer: a.config.Other(), Gated: a.hands.Gated,
		Unfinished: func() bool { return a.server.Unfinished(a.hands.KeepDir()) },
		Fits: func(s board.Sight) (bool, error) {
			if !s.Record.Exists() || a.acting() {
				return true, nil // an action in the middle of its steps is not a mistake
			}
			fits, err := a.fits(a.hands.Wanted(s))
			return fits || a.acting(), err // it may have begun meanwhile
		},
		Slot: settings.Slot(a.config.Other()), TellCancelled: a.cancelledWait,
		LookEvery: t.PollInterval.Duration, KnockEvery: t.ProbeInterval.Duration, Timeout: t.ProbeTimeout.Duration,
	})
	a.neighbour = observe.NewNeighbour(observe.Neighbour{
		Board: a.board, Addr: a.config.Endpoint(a.config.Other()).Replication,
		Every: t.HeartbeatInterval.Duration, Timeout: t.HeartbeatTimeout.Duration / 2, Clock: a.clock, Answers: a.world.Port,
	})
}

// beat is what the link sends at every interval, and when there is news.
func (a *Agent) beat() (kind string, body any) {
	r := a.report()
	// A quarter: the link gives up after a timeout without an answer, and most of it
	// shall be left to the other side, which may be busy.
	if !a.telling.due(r, a.config.Pair.Timings.HeartbeatTimeout.Duration/4) {
		return "", nil
	}
	return wire.KindReport, r
}

func (a *Agent) peerChanged() {
	connected := a.link.State().Connected
	if !connected {
		a.telling.forget()
	}
	// One that came and went unnoticed in between may have answered as well: what counts
	// was told over one that was noticed.
	if !connected || !a.connected {
		a.fencing.lost()
	}
	a.connected = connected
	a.neighbour.Kick()
	a.board.Wake()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
