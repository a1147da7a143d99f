package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// session is a connection to one postmaster (act.Session, observe.Session).
type session struct {
	in instance
	pm *postmaster
}

var errClosed = errors.New("the server closed the connection")

func (in instance) connect(ctx context.Context) (*session, error) {
	s := &session{in: in, pm: in.pm}
	if in.pm == nil {
		in.p.enter()
		return nil, errors.New("connect: connection refused")
	}
	if err := s.ask(ctx); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return s, nil
}

// ask is a round trip. A frozen server answers nobody.
func (s *session) ask(ctx context.Context) error {
	d := s.in.w.mostly(400*time.Microsecond, 50*time.Millisecond)
	for {
		if err := s.in.pause(ctx, d); err != nil {
			return err
		}
		switch {
		case s.pm.gone || s.pm.stopping || !s.pm.ready:
			return errClosed
		case !s.pm.frozen:
			return nil
		}
		d = 20 * time.Millisecond
	}
}

func (s *session) Alive() bool { return !s.pm.gone && !s.pm.stopping }
func (s *session) Close()      {}

func (s *session) Look(ctx context.Context, peer string) (postgres.Look, error) {
	if err := s.ask(ctx); err != nil {
		return postgres.Look{}, fmt.Errorf("look at PostgreSQL: %w", err)
	}
	c, pm := s.in.cluster, s.pm
	l := postgres.Look{InRecovery: pm.recovery, Timeline: c.log.tl, CheckpointTimeline: c.control.Timeline, ReplayPaused: pm.paused}
	if pm.sessions.Wait {
		l.SyncNames = string(pm.sessions.Other)
	}
	if pm.recovery {
		l.Received, l.Replayed = c.log.flushAt(), pm.replayedAt()
		if pm.up != nil {
			l.Receiver = postgres.Receiver{PID: 1, Status: "streaming", Answered: true}
		}
		return l, nil
	}
	l.Insert, l.Flush, l.SyncWaiters = c.log.insertAt(), c.log.flushAt(), len(pm.waiting)
	if d := pm.down; d != nil && peer == string(d.standby.me) {
		l.Peer = &postgres.Sender{PID: 1, State: "streaming", Sent: c.log.at(d.sent), Flush: d.flush, Replay: d.replay, Reply: d.replies}
	}
	return l, nil
}

// Received: commits whose wait is cancelled are not modelled.
func (s *session) Received(context.Context, string, string, []int) (postgres.Received, error) {
	return postgres.Received{}, errNotModelled
}

func (s *session) Checkpoint(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	if err := s.in.pause(ctx, s.in.w.mostly(100*time.Millisecond, 4*time.Second)); err != nil {
		return err
	}
	for s.in.hung {
		if err := s.in.pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := s.ask(ctx); err != nil || s.pm.recovery {
		return err
	}
	c := s.in.cluster
	c.control.Checkpoint, c.control.Timeline = c.log.flushAt(), c.log.tl
	return nil
}

func (s *session) EndSegment(ctx context.Context) (bool, error) {
	err := s.ask(ctx)
	if err != nil || s.pm.recovery || s.in.w.chance(0.7) {
		return false, err
	}
	s.pm.commit(0, false, func(bool) {})
	return true, nil
}

func (s *session) EnsureSlot(ctx context.Context, name string) error {
	err := s.ask(ctx)
	if err == nil {
		s.in.slots[name] = true
	}
	return err
}

func (s *session) DropSlot(ctx context.Context, name string) error {
	err := s.ask(ctx)
	if err == nil {
		delete(s.in.slots, name)
	}
	return err
}

// FreeSlot finds none held: here a walsender ends with its connection.
func (s *session) FreeSlot(ctx context.Context, _ string, _ time.Duration) (bool, error) {
	return false, s.ask(ctx)
}

func (s *session) InForce(ctx context.Context, names []string) ([]postgres.InForce, error) {
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	values := s.pm.sessions.Values()
	var all []postgres.InForce
	for _, n := range names {
		all = append(all, postgres.InForce{Name: n, Value: values[n], Source: "configuration file"})
	}
	return all, nil
}

func (s *session) FileFaults(ctx context.Context) (bool, []postgres.FileFault, error) {
	return false, nil, s.ask(ctx)
}

func (s *session) HBAFaults(ctx context.Context) ([]postgres.FileFault, error) {
	return nil, s.ask(ctx)
}

func (s *session) PauseReplay(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	if !s.pm.recovery {
		return errors.New("pause replay: recovery is not in progress")
	}
	s.pm.paused = true
	return nil
}

func (s *session) ResumeReplay(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	pm := s.pm
	if pm.recovery && pm.paused {
		pm.paused = false
		pm.replayed = max(pm.replayed, s.in.log.flushed)
		if pm.up != nil {
			pm.up.reply()
		}
	}
	return nil
}

// EndReaders finds none: nobody reads on a standby here.
func (s *session) EndReaders(ctx context.Context) (int, error) { return 0, s.ask(ctx) }

func (s *session) Applied(ctx context.Context) (received, replayed pair.LSN, err error) {
	if err := s.ask(ctx); err != nil || !s.pm.recovery {
		return 0, 0, err
	}
	return s.in.log.flushAt(), s.pm.replayedAt(), nil
}

func (s *session) AwaitsLog(ctx context.Context) (bool, error) { return true, s.ask(ctx) }

func (s *session) OldestWAL(ctx context.Context) (pair.LSN, error) { return 0, s.ask(ctx) }

func (s *session) Holdings(ctx context.Context) (postgres.Holdings, error) {
	return postgres.Holdings{Bytes: 1 << 20}, s.ask(ctx)
}

// canary is a commit that waits until it is applied (act.Canary).
type canary struct {
	s        *session
	backend  *waiter
	inForce  bool
	returned chan struct{}
	ok       bool
}

func (in instance) StartCanary(ctx context.Context) (act.Canary, error) {
	s, err := in.connect(ctx)
	if err == nil {
		err = s.ask(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start canary: %w", err)
	}
	if s.pm.recovery {
		return nil, errors.New("start canary: recovery is in progress")
	}
	c := &canary{s: s, returned: make(chan struct{})}
	c.backend = s.pm.commit(0, true, func(ok bool) {
		c.ok = ok
		in.p.stirred = true
		close(c.returned)
	})
	for {
		if err := s.ask(ctx); err != nil {
			return nil, fmt.Errorf("start canary: %w", err)
		}
		if c.waits() {
			c.inForce = true
			return c, nil
		}
		if in.clock().Wait(ctx, 2*time.Millisecond, c.returned) {
			return c, nil
		}
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("start canary: %w", err)
		}
	}
}

// waits reports whether its backend is seen with the wait event SyncRep.
func (c *canary) waits() bool { return slices.Contains(c.s.pm.waiting, c.backend) }

func (c *canary) InForce() bool { return c.inForce }

func (c *canary) Finish(ctx context.Context) error {
	if !c.s.in.clock().Wait(ctx, -1, c.returned) {
		c.s.pm.waiting = slices.DeleteFunc(c.s.pm.waiting, func(v *waiter) bool { return v == c.backend })
		return fmt.Errorf("finish canary: %w", context.Cause(ctx))
	}
	if !c.ok {
		return fmt.Errorf("finish canary: %w", errClosed)
	}
	return nil
}
