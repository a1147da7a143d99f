package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// moveFollower has the arbiter moved, and follows until the pair is whole by the new one.
type moveFollower struct {
	env    *Env
	o      *moveOptions
	c      control
	began  time.Time
	answer wire.MoveAnswer
	shown  map[string]bool
}

// movedTo is the result in JSON.
type movedTo struct {
	wire.MoveAnswer
	// Moved: both servers use the new arbiter, and failover is protected again.
	Moved  bool    `json:"moved"`
	TookMS float64 `json:"took_ms"`
}

func (m *moveFollower) out() io.Writer {
	if m.o.Output == formJSON {
		return m.env.Stderr
	}
	return m.env.Stdout
}

func (m *moveFollower) say(step string) { m.sayAt(step, m.took()) }

func (m *moveFollower) sayAt(step string, ms float64) {
	_, _ = fmt.Fprintf(m.out(), "%8.0f ms  %s\n", ms, step)
}

func (m *moveFollower) took() float64 { return float64(time.Since(m.began).Microseconds()) / 1e3 }

// wouldMove answers --dry-run.
func (m *moveFollower) wouldMove() error {
	if m.o.Output == formJSON {
		return writeJSON(m.env.Stdout, movedTo{MoveAnswer: m.answer})
	}
	a := m.answer
	text := fmt.Sprintf("the arbiter can be moved from %s to %s: both servers reach the new one", a.From, a.To)
	switch {
	case a.Done:
		text = fmt.Sprintf("the arbiter is %s already", a.To)
	case a.Held:
		text += "\nthe standby was detached by an operator and stays so: mcctl attach"
	}
	_, err := fmt.Fprintln(m.env.Stdout, text)
	return err
}

// ask asks for the first time. A supervisor that begins anew after an earlier move, or is
// being started again, is asked again.
func (m *moveFollower) ask(ctx context.Context, q wire.MoveRequest) error {
	for end := time.Now().Add(askAgain); ; {
		err := m.c.call(ctx, wire.KindMove, q, &m.answer)
		var remote *wire.RemoteError
		lost := errors.Is(err, errNotRunning) || errors.Is(err, wire.ErrNoAnswer) && !errors.As(err, &remote)
		kept, unseen := isKept(m.o.Mcdir)
		if lost && unseen != nil {
			return inCommand("arbiter move", notSeen(m.o.Mcdir, unseen))
		}
		if !lost || !kept || time.Now().After(end) || sleep(ctx, moveAgain) != nil {
			return err
		}
	}
}

func (m *moveFollower) move(ctx context.Context, q wire.MoveRequest) error {
	if !m.answer.Done {
		_, _ = fmt.Fprintf(m.out(), "moving the arbiter from %s to %s\n", m.answer.From, m.answer.To)
		if err := m.carry(ctx, q); isOver(ctx) && !answered(err) {
			return m.goesOn(ctx, errors.New("it was not complete"))
		} else if err != nil {
			return m.notMoved(err)
		}
	}
	if err := m.follow(ctx); err != nil {
		return m.goesOn(ctx, err)
	}
	if m.o.Output == formJSON {
		return writeJSON(m.env.Stdout, movedTo{m.answer, true, m.took()})
	}
	if m.answer.Done {
		_, err := fmt.Fprintf(m.env.Stdout, "the arbiter is %s already\n", m.answer.To)
		return err
	}
	_, err := fmt.Fprintf(m.env.Stdout, "the arbiter is %s, after %.0f ms\n", m.answer.To, m.took())
	return err
}

// goesOn is the end of a command that was interrupted, or whose time is over.
func (m *moveFollower) goesOn(ctx context.Context, err error) error {
	return failed(exitGoingOn, fmt.Errorf("arbiter move: %s; it goes on: %w", cutShort(ctx, "not complete", m.o.Timeout), err), "follow it: mcctl status -M %s; or repeat the command", m.o.Mcdir)
}

// askAgain is for how long a supervisor that was lost in the middle is asked again.
const askAgain = 20 * time.Second

// carry asks until there is an answer: what is done already is not done again.
func (m *moveFollower) carry(ctx context.Context, q wire.MoveRequest) error {
	var lost time.Time
	for {
		q.Step = wire.MoveCarry
		answer, before := wire.MoveAnswer{}, m.took()
		err := m.c.call(ctx, wire.KindMove, q, &answer)
		switch {
		case err == nil:
			for _, s := range answer.Steps {
				m.sayAt(s.Step, before+s.AtMS)
			}
			if answer.Left != "" {
				m.say(answer.Left)
			}
			m.answer.Steps, m.answer.Left, m.answer.Held = answer.Steps, answer.Left, answer.Held
			return nil
		case lost.IsZero() && answered(err), isOver(ctx):
			return err
		case lost.IsZero():
			lost = time.Now()
			m.say("a supervisor was lost in the middle; asking again")
		}
		if time.Since(lost) > askAgain || sleep(ctx, moveAgain) != nil {
			return err
		}
	}
}

// moveAgain is the pause before a move is asked for again.
const moveAgain = 300 * time.Millisecond

// notMoved keeps the status of a refusal, whose hint is not right for everything that
// may have been begun.
func (m *moveFollower) notMoved(err error) error {
	if errors.Is(err, wire.ErrRefused) {
		return err
	}
	return failed(exitFailed, err, "see mcctl status -M %s; the same command, called again, goes on", m.o.Mcdir)
}

// follow waits until both servers go by the new arbiter and the pair is whole. The
// supervisors begin anew meanwhile: no answer is nothing to stop for.
func (m *moveFollower) follow(ctx context.Context) error {
	m.shown = map[string]bool{}
	missing := errors.New("no supervisor answers")
	for {
		if st, err := m.c.status(ctx); err == nil {
			if missing = m.missing(st); missing == nil {
				return nil
			}
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			return missing
		}
	}
}

// missing is what is left to be waited for. What has come about is said once.
func (m *moveFollower) missing(st wire.Status) (left error) {
	need := func(met bool, what string) {
		switch {
		case !met && left == nil:
			left = fmt.Errorf("still missing: %s", what)
		case met && !m.shown[what] && !m.answer.Done:
			m.shown[what] = true
			m.say(what)
		}
	}
	for _, s := range st.Servers {
		need(s.Arbiter == m.answer.To, fmt.Sprintf("%s uses %s", s.Server, m.answer.To))
	}
	if left != nil {
		return left
	}
	need(st.Arbiter.Reached && st.Record.Exists(), "the new arbiter answers")
	if !st.Held {
		need(st.Record.Mode == pair.Paired && left == nil, "the standby is attached again")
	}
	return left
}
