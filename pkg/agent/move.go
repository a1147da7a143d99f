package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// move replaces the arbiter, on the primary (docs/protocol.md, "Moving the record to
// another keeper"). What it has begun goes on when whoever asked has gone.
func (a *Agent) move(asker context.Context, body json.RawMessage) (any, error) {
	var q wire.MoveRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	for !a.moving.TryLock() { // one that an earlier command has begun
		if err := clock.Pause(a.clock, asker, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("the arbiter is being moved already: %w: %w", wire.ErrNoAnswer, err)
		}
	}
	defer a.moving.Unlock()
	ctx := a.group.ctx
	a.meetPeer(ctx)
	q.Record = a.board.Read().Record
	answer, err := a.checkMove(ctx, q)
	if err != nil || answer.Done || q.Step != wire.MoveCarry {
		return answer, err
	}
	m := mover{agent: a, request: q, began: a.clock.Now()}
	m.did("checked")
	err = m.carry(ctx)
	answer.Steps, answer.Left = m.steps, m.left
	return answer, err
}

// meetPeer gives a supervisor that has just started, as after a move, the time to find the
// other one.
func (a *Agent) meetPeer(ctx context.Context) {
	_ = a.await(ctx, func(s board.Sight) bool {
		now := a.clock.Now()
		return s.Link.Connected && a.limits.Classify(s, now).Peer == decide.PeerHere || now-s.Started >= a.config.Timings().HeartbeatTimeout.Duration
	})
}

// checkMove looks at both servers and at both arbiters.
func (a *Agent) checkMove(ctx context.Context, q wire.MoveRequest) (wire.MoveAnswer, error) {
	if err := a.mayMove(ctx, q); err != nil {
		return wire.MoveAnswer{}, err
	}
	q.Step = wire.MoveCheck
	here, err := a.moveStep(ctx, q)
	if err != nil {
		return wire.MoveAnswer{}, err
	}
	there, err := a.askMove(ctx, q)
	answer := wire.MoveAnswer{From: here.From, To: here.To, Done: here.Done && there.Done, Held: a.board.Read().Held}
	if err == nil && !here.Done && !q.Gone {
		err = a.mayLeave(ctx)
	}
	return answer, err
}

// mayMove: nothing else is under way, and both servers are here.
func (a *Agent) mayMove(_ context.Context, q wire.MoveRequest) error {
	s := a.board.Read()
	f := a.limits.Classify(s, a.clock.Now())
	reason := ""
	switch {
	case !s.Names(a.config.Me()):
		reason = fmt.Sprintf("%s is not the primary now", a.config.Me())
	case !s.Link.Connected || f.Peer != decide.PeerHere:
		reason = fmt.Sprintf("%s is not reached, and both servers must change at once: %s", a.config.Other(), linkTrouble(s))
	case s.Task != decide.NoTask:
		reason = fmt.Sprintf("a %s is under way", s.Task)
	case !q.Gone && f.Postgres != decide.PostgresOpen:
		reason = fmt.Sprintf("PostgreSQL of %s is %s, not open", a.config.Me(), f.Postgres)
	default:
		return nil
	}
	return fmt.Errorf("move the arbiter: %w: %s", wire.ErrRefused, reason)
}

// mayLeave: the present arbiter answers, or its record is closed already.
func (a *Agent) mayLeave(ctx context.Context) error {
	if shut := a.closed(ctx); shut.Exists() {
		return nil
	}
	if _, _, reached := a.keeper.Seen(); reached {
		return nil
	}
	return fmt.Errorf("move the arbiter: %w: the present one, %s, is not reached, and as long as it may answer again it must be told: %s", wire.ErrRefused, &a.config.Pair.Arbiter, a.keeper.Problem())
}

// closed is the record that the present arbiter holds, if it was closed.
func (a *Agent) closed(ctx context.Context) record.Record {
	if !a.config.Pair.Arbiter.Apart() {
		return record.Record{}
	}
	ctx, cancel := a.boundedMove(ctx)
	defer cancel()
	_, err := a.keeper.Read(ctx)
	var moved *arbiter.Moved
	if errors.As(err, &moved) {
		return moved.Record
	}
	return record.Record{}
}

func (a *Agent) boundedMove(ctx context.Context) (context.Context, context.CancelFunc) {
	return a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
}

// askMove has the other server do its part of a step.
func (a *Agent) askMove(ctx context.Context, q wire.MoveRequest) (there wire.MoveHere, err error) {
	if err := a.link.Call(ctx, wire.KindMoveHere, q, &there); err != nil {
		return there, fmt.Errorf("%s: %w", a.config.Other(), err)
	}
	return there, nil
}

// mover is a move that is being carried out.
type mover struct {
	agent   *Agent
	request wire.MoveRequest
	began   time.Duration
	steps   []wire.MoveTook
	left    string
}

func (m *mover) did(step string) {
	m.agent.tell("move of the arbiter: " + step)
	m.steps = append(m.steps, wire.MoveTook{Step: step, AtMS: float64((m.agent.clock.Now()-m.began)/time.Microsecond) / 1e3})
}

// carry goes through the steps in order. Until the record is closed, or the primary
// itself has turned, nothing has happened that is not undone by doing nothing.
func (m *mover) carry(ctx context.Context) error {
	a, q := m.agent, m.request
	if p, err := a.planMove(q); err != nil || p.done { // only the other one is left
		_, there := m.turnOther(ctx)
		return errors.Join(err, there)
	}
	if err := m.prepare(ctx); err != nil {
		return errors.Join(err, m.forget(ctx))
	}
	if !q.Gone {
		if err := m.leave(ctx); err != nil {
			return err
		}
	} else if _, err := m.turnOther(ctx); err != nil {
		// The old arbiter cannot be told, so the one who could take over by it leaves it first.
		return fmt.Errorf("%w; nothing was changed on %s: repeat the command", err, a.config.Me())
	}
	if err := m.turnHere(ctx); err != nil {
		return m.notTurned(ctx, err)
	}
	defer a.beginAnew()
	if q.Gone {
		return nil
	}
	bounded, cancel := a.boundedMove(ctx)
	defer cancel()
	if _, err := m.turnOther(bounded); err != nil {
		m.left = fmt.Sprintf("%v; it is told again and again", err)
	}
	return nil
}

func (m *mover) turnHere(ctx context.Context) error {
	a := m.agent
	p, err := a.planMove(m.request)
	if err != nil {
		return err
	}
	if err := m.mayClose(); err != nil {
		return err
	}
	var shut record.Record
	if !m.request.Gone {
		shut = a.closed(ctx)
	}
	if err := a.rewrite(p, shut); err != nil {
		return err
	}
	m.did(fmt.Sprintf("%s turns to the new arbiter", a.config.Me()))
	return nil
}

// mayClose: where the primary keeps the record itself its turn is the close, and only one that
// says alone is closed.
func (m *mover) mayClose() error {
	a := m.agent
	if m.request.Gone || a.config.Pair.Arbiter.Apart() || m.staysAlone() {
		return nil
	}
	return fmt.Errorf("move the arbiter: %w: %s is not alone any more: repeat the command", wire.ErrRefused, a.config.Me())
}

func (m *mover) prepare(ctx context.Context) error {
	q := m.request
	q.Step = wire.MovePrepare
	if _, err := m.agent.askMove(ctx, q); err != nil {
		return err
	}
	if _, err := m.agent.moveStep(ctx, q); err != nil {
		return err
	}
	m.did("prepared on both servers")
	return nil
}

func (m *mover) forget(ctx context.Context) error {
	q := m.request
	q.Step = wire.MoveForget
	_, there := m.agent.askMove(ctx, q)
	_, here := m.agent.moveStep(ctx, q)
	return errors.Join(here, there)
}

func (m *mover) turnOther(ctx context.Context) (wire.MoveHere, error) {
	q := m.request
	q.Step = wire.MoveTurn
	there, err := m.agent.askMove(ctx, q)
	if err == nil {
		m.did(fmt.Sprintf("%s turns to the new arbiter", m.agent.config.Other()))
	}
	return there, err
}

// leave makes the record alone and closes it with the arbiter that keeps it. Where the
// primary keeps it itself, its own turn closes it.
func (m *mover) leave(ctx context.Context) error {
	a := m.agent
	if a.closed(ctx).Exists() {
		return nil
	}
	a.board.Note(func(s *board.Sight) { s.Moving = true }) // a crash forgets it
	err := m.goAlone(ctx)
	if err == nil {
		err = m.close(ctx)
	}
	if err == nil {
		return nil
	}
	m.release()
	if !errors.Is(err, wire.ErrNoAnswer) { // else it may have happened, and then it goes on
		err = errors.Join(err, m.forget(ctx))
	}
	return err
}

// release lets the standby be attached again, unless an operator holds it.
func (m *mover) release() { m.agent.board.Note(func(s *board.Sight) { s.Moving = false }) }

// notTurned tells of a primary that could not write its pair.toml. Where it keeps the
// record itself, nothing has been left then.
func (m *mover) notTurned(ctx context.Context, err error) error {
	a := m.agent
	if !a.config.Pair.Arbiter.Apart() {
		m.release()
		return errors.Join(fmt.Errorf("the arbiter stays as it is: %w", err), m.forget(ctx))
	}
	return fmt.Errorf("the old arbiter is left, but %s does not use the new one yet: %w; it tries again by itself, or repeat the command", a.config.Me(), err)
}

// staysAlone: while the arbiter is moved no attach pledges anything (act.Hands.Attach), but for
// one that has begun before. So it is the mode after that which counts, and the board may not
// know yet what has just begun.
func (m *mover) staysAlone() bool {
	a := m.agent
	return a.runner.doing() == "" && board.Mode(a.board.Read()) == decide.Alone
}

func (m *mover) goAlone(ctx context.Context) error {
	a := m.agent
	if m.staysAlone() {
		return nil
	}
	if err := a.claim(decide.TaskDetach); err != nil {
		return err
	}
	defer a.board.Release(decide.TaskDetach)
	if err := a.await(ctx, func(board.Sight) bool { return m.staysAlone() }); err != nil {
		return fmt.Errorf("detach %s: %w; see mcctl explain", a.config.Other(), err)
	}
	if err := a.released(ctx); err != nil {
		return err
	}
	m.did(fmt.Sprintf("%s is alone, and nobody may take over", a.config.Me()))
	return nil
}

// closeAttempts is how often the record is closed again after it has moved on.
const closeAttempts = 3

// close is T9, the point of no return. An answer that was lost is read for.
func (m *mover) close(ctx context.Context) (err error) {
	a := m.agent
	if !a.config.Pair.Arbiter.Apart() {
		return nil
	}
	to, err := a.planMove(m.request)
	if err != nil {
		return err
	}
	for range closeAttempts {
		if err = m.closeOnce(ctx, to.next.Pair.Arbiter.String()); !errors.Is(err, record.ErrConflict) {
			break
		}
		_ = clock.Pause(a.clock, ctx, a.config.Timings().HeartbeatInterval.Duration) // the loop learns the newer one
	}
	if err != nil {
		return fmt.Errorf("close the record: %w", err)
	}
	m.did("the record of the old arbiter is closed")
	return nil
}

func (m *mover) closeOnce(ctx context.Context, where string) error {
	a := m.agent
	bounded, cancel := a.boundedMove(ctx)
	defer cancel()
	_, err := a.keeper.Change(bounded, record.Change{
		Transition: record.Close, By: a.config.Me(), To: a.config.Me(), From: a.board.Read().Record.Revision, Where: where,
	})
	if errors.Is(err, wire.ErrNoAnswer) && a.closed(ctx).Exists() {
		return nil
	}
	return err
}
