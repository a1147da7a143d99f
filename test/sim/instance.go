package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/observe"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// instance is a cluster as one life of its supervisor handles it (act.Postgres).
type instance struct {
	*cluster
	p *process
}

// watched is the same for the watchers (observe.Postgres).
type watched struct{ instance }

func (in watched) Connect(ctx context.Context) (observe.Session, error) {
	return in.instance.connect(ctx)
}

var errNotModelled = errors.New("the simulator has no model of that")

// Log: what is in the log is not modelled, only how far it goes.
func (watched) Log(context.Context, pair.Timeline, pair.LSN, pair.LSN) (postgres.WALContent, error) {
	return postgres.WALContent{}, errNotModelled
}

// TailBeyond finds nothing to report: the checkers know what is lost.
func (instance) TailBeyond([]postgres.Fork, pair.Timeline, pair.LSN) (postgres.Tail, error) {
	return postgres.Tail{}, nil
}

func (instance) ReadWAL(context.Context, string, pair.Timeline, pair.LSN, pair.LSN, int) (postgres.WALContent, error) {
	return postgres.WALContent{}, errNotModelled
}

func (in instance) clock() procClock { return procClock{in.w, in.p} }

func (in instance) pause(ctx context.Context, d time.Duration) error {
	in.clock().Wait(ctx, d, nil)
	return context.Cause(ctx)
}

func (in instance) Postmaster() (int, bool) {
	in.p.enter()
	if in.pm == nil {
		return 0, false
	}
	return in.pm.pid, true
}

var errGone = errors.New("no such process")

func (in instance) WatchExit(pid int) (<-chan struct{}, func(), error) {
	in.p.enter()
	if in.pm == nil || in.pm.pid != pid {
		return nil, nil, errGone
	}
	return in.pm.exited, func() {}, nil
}

func (in instance) Control() (postgres.Control, error) {
	in.p.enter()
	if in.failing {
		return postgres.Control{}, errors.New("read pg_control: input/output error")
	}
	return in.control, nil
}

func (in instance) Accepts(pid int) bool {
	in.p.enter()
	return in.pm != nil && in.pm.pid == pid && in.pm.ready && !in.pm.stopping
}

func (in instance) Serves(pid int) bool {
	in.p.enter()
	return in.pm != nil && in.pm.pid == pid
}

func (in instance) AwaitsSenders(pid int) bool { return in.Lingers(pid) }

func (in instance) Lingers(pid int) bool {
	in.p.enter()
	return in.pm != nil && in.pm.pid == pid && in.pm.stopping && in.pm.shut
}

// Senders are none: here a walsender keeps a server from its end for a drawn time.
func (in instance) Senders(int) map[int]string { return nil }

func (in instance) EndSender(int) error { return nil }

// Knock is a fresh connection.
func (in instance) Knock(ctx context.Context) error {
	s, err := in.connect(ctx)
	if err == nil {
		s.Close()
	}
	return err
}

func (in instance) Connect(ctx context.Context) (act.Session, error) {
	s, err := in.connect(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (in instance) Start(opt postgres.StartOptions) (int, error) {
	in.p.enter()
	switch {
	case in.pm != nil:
		return in.pm.pid, nil
	case in.w.now < in.leftover:
		return 0, postgres.ErrStillInUse
	}
	return in.launch(opt.HBAFile != "").pid, nil
}

func (in instance) WaitReady(ctx context.Context) error {
	pm := in.pm
	for pm != nil && !pm.gone {
		if pm.ready && !pm.frozen {
			return nil
		}
		if err := in.pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("wait for PostgreSQL: %w", err)
		}
	}
	return errors.New("wait for PostgreSQL: it exited")
}

func (in instance) signalled(pid int) *postmaster {
	in.p.enter()
	if in.pm == nil || in.pm.pid != pid {
		return nil
	}
	return in.pm
}

func (in instance) Stop(ctx context.Context, pid int, mode postgres.StopMode) error {
	pm := in.signalled(pid)
	if pm == nil {
		return nil
	}
	if mode == postgres.Fast {
		pm.later(0, pm.stop)
	} else {
		pm.later(in.w.mostly(20*time.Millisecond, time.Second), pm.exit)
	}
	if !in.clock().Wait(ctx, -1, pm.exited) {
		return fmt.Errorf("stop PostgreSQL: postmaster %d has not exited: %w", pid, context.Cause(ctx))
	}
	return nil
}

func (in instance) Shut(ctx context.Context, pid int) error {
	pm := in.signalled(pid)
	if pm == nil {
		return fmt.Errorf("stop PostgreSQL: %w", errGone)
	}
	pm.later(0, pm.stop)
	for !pm.shut && !pm.gone {
		if err := in.pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("stop PostgreSQL: %w", err)
		}
	}
	return nil
}

func (in instance) Kill(pid int) error {
	if in.signalled(pid) != nil {
		in.kill()
	}
	return nil
}

func (in instance) KillLeftovers() error {
	in.p.enter()
	if in.pm == nil {
		in.leftover = 0
	}
	return nil
}

func (in instance) Reload(pid int) error {
	pm := in.signalled(pid)
	if pm == nil {
		return fmt.Errorf("reload PostgreSQL: process %d is not its postmaster", pid)
	}
	pm.reload()
	return nil
}

// AskPromotion may be slept over, as a single request to PostgreSQL may.
func (in instance) AskPromotion(pid int) error {
	pm := in.signalled(pid)
	if pm == nil {
		return fmt.Errorf("promote: %w", errGone)
	}
	if pm.ready && pm.recovery && !pm.promoting && !pm.stopping && !in.w.chance(0.3) {
		pm.later(in.w.mostly(10*time.Millisecond, 200*time.Millisecond), pm.promote)
	}
	return nil
}

// promote ends the walreceiver first, applies what it has left, and begins a timeline.
func (pm *postmaster) promote() {
	if pm.promoting || pm.stopping || !pm.recovery {
		return
	}
	c := pm.c
	pm.promoting, pm.paused = true, false
	pm.hangUp()
	pm.later(c.w.mostly(200*time.Millisecond, 5*time.Second), func() {
		if pm.stopping {
			return
		}
		if c.w.chance(c.w.plan.promoteFails) {
			c.say("the promotion fails")
			pm.exit()
			return
		}
		pm.onDisk(func() {
			if pm.stopping {
				return
			}
			c.log.fork()
			c.log.add(0)
			c.log.flushed = len(c.log.recs)
			pm.recovery, pm.promoting, pm.replayed = false, false, c.log.flushed
			c.control.State, c.marked = postgres.InProduction, false
			c.control.MinRecovery, c.control.MinRecoveryTimeline = 0, 0
			c.say("promoted, timeline %d", c.log.tl)
			pm.later(c.w.plan.ownCheckpoint, pm.checkpoint) // its own, spread
			c.w.ledger.changed(c)
			if !pm.gated {
				c.w.ledger.opened(c)
			}
		})
	})
}

// checkpoint has pg_control tell where the log is now.
func (pm *postmaster) checkpoint() {
	pm.onDisk(func() {
		if c := pm.c; !pm.recovery && !pm.stopping {
			c.control.Checkpoint, c.control.Timeline = c.log.flushAt(), c.log.tl
		}
	})
}

func (in instance) MarkStandby() error  { return in.onFiles(func() { in.marked = true }) }
func (in instance) ClearStandby() error { return in.onFiles(func() { in.marked = false }) }

func (in instance) MarkedStandby() bool {
	in.p.enter()
	return in.marked
}

func (in instance) onFiles(do func()) error {
	in.p.enter()
	if in.failing {
		return errors.New("input/output error")
	}
	if in.full() {
		return errors.New("no space left on device")
	}
	do()
	return nil
}

func (in instance) TimelineAt(at pair.LSN) (pair.Timeline, error) {
	in.p.enter()
	return in.log.timelineAt(at), nil
}

func (in instance) History(of pair.Timeline) ([]postgres.Fork, error) {
	in.p.enter()
	if of != in.log.tl {
		return nil, postgres.ErrNoHistory
	}
	return in.log.forks, nil
}

func (in instance) Unfinished(string) bool {
	in.p.enter()
	return in.unfinished
}

// Lacks: what a copy or a rewind needs is there.
func (in instance) Lacks() (pair.LSN, error) { return 0, nil }

func (in instance) Empty() bool                      { return false }
func (in instance) Unmounted(postgres.Layout) string { return "" }
func (in instance) SaveOwn(string) ([]string, error) { return nil, nil }
