package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/hook"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// How soon the commands are called again after they did not lead to leave.
const (
	fenceRetryMin = time.Second
	fenceRetryMax = 30 * time.Second
)

// fencer is what the supervisor does where the site's commands arbitrate: it runs
// them beside the loop, and exchanges tellings and words with the other server. With
// another arbiter keeper is nil, and leave is given always.
type fencer struct {
	keeper *arbiter.Command
	clock  clock.Clock
	due    chan struct{} // the loop has turned: perhaps there is something to tell

	mu      sync.Mutex
	running bool
	problem string // why the last try did not lead to leave
	retryAt time.Duration
	backoff time.Duration
}

// leave is the fact: what the keeper allows, and whether the commands may be called now.
func (f *fencer) leave() decide.Leave {
	if f.keeper == nil {
		return decide.LeaveGiven
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch l := f.keeper.Leave(); {
	case l == arbiter.LeaveGiven:
		return decide.LeaveGiven
	case l == arbiter.LeaveNeeded && !f.running && f.clock.Now() >= f.retryAt:
		return decide.LeaveNeeded
	}
	return decide.LeaveDenied
}

// turn wakes keepTelling; it is called by the loop.
func (f *fencer) turn() {
	select {
	case f.due <- struct{}{}:
	default:
	}
}

// settled: the standby could take over, as far as tellings go.
func (f *fencer) settled() bool { return f.keeper == nil || f.keeper.Settled() }

func (f *fencer) lost() {
	if f.keeper != nil {
		f.keeper.Lost()
	}
}

func (f *fencer) meetings() int {
	if f.keeper == nil {
		return 0
	}
	return f.keeper.Meetings()
}

// byOperator: an operator's fencing, or his word that the other server is off, counts
// like our own.
func (f *fencer) byOperator(meetings int) {
	if f.keeper != nil {
		f.keeper.Fenced(meetings)
	}
}

// unmet is why this server may not rely on what it knows of the record: it waits until it has
// met the other one. It is empty with another arbiter.
func (f *fencer) unmet() string {
	if f.keeper == nil {
		return ""
	}
	return f.keeper.Problem()
}

// byHand is what to do where only the other server or an operator can say who reigns.
func byHand(why string, other pair.Server) string {
	return fmt.Sprintf("%s: start %s; or if it is off for good, on the server that shall be primary: %s", why, other, forceByHand)
}

const forceByHand = "mcctl switch --force --no-fencing"

// nextStep is what an operator should know of it, or "".
func (f *fencer) nextStep(s board.Sight, facts decide.Facts, other pair.Server) string {
	if f.keeper == nil || facts.Peer == decide.PeerHere {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	why, then := f.unmet(), forceByHand
	switch {
	case why != "":
		return byHand(why, other)
	case facts.Mode == decide.Alone || f.problem == "":
		return ""
	case facts.Record == decide.RecordMine:
		then = "mcctl detach --standby-is-off"
	}
	return fmt.Sprintf("%s; tried again in %s; or make sure by hand that %s is off, then: %s", f.problem, max(0, f.retryAt-f.clock.Now()).Round(time.Second), other, then)
}

// beginFencing has the commands called and returns at once.
func (a *Agent) beginFencing(context.Context) error {
	a.fencing.mu.Lock()
	defer a.fencing.mu.Unlock()
	if a.fencing.running || a.clock.Now() < a.fencing.retryAt {
		return nil
	}
	a.fencing.running = true
	a.background("fencing", a.fenceOther)
	return nil
}

func (a *Agent) fenceOther(ctx context.Context) error {
	err := a.callFencing(ctx)
	f := &a.fencing
	f.mu.Lock()
	f.running, f.problem, f.backoff = false, "", min(max(2*f.backoff, fenceRetryMin), fenceRetryMax)
	if err == nil {
		f.backoff = 0
	} else {
		f.problem = err.Error()
	}
	f.retryAt = a.clock.Now() + f.backoff
	pause := f.backoff
	f.mu.Unlock()
	a.clock.After(pause, a.board.Wake)
	a.board.Wake()
	return err
}

// callFencing asks the arbitration command when the primary seems dead, and then
// fences. A primary that has lost its standby does not ask: without the standby it
// cannot go on, whatever is wrong there.
func (a *Agent) callFencing(ctx context.Context) error {
	meetings, s := a.fencing.keeper.Meetings(), a.board.Read()
	operation := hook.OpDetach
	if !s.Names(a.config.Me()) {
		operation = hook.OpSwitch
		c := a.call(hook.Arbitration, s.Record)
		if out := a.ask(ctx, c); !out.OK() {
			return fmt.Errorf("the arbitration command does not say that %s is dead: %s", c.Target, out)
		}
	}
	now := a.board.Read()
	if f := a.limits.Classify(now, a.clock.Now()); f.Peer == decide.PeerHere || f.Failover == decide.FailoverOff || now.Record != s.Record {
		return errors.New("nothing was fenced: what it was needed for is over")
	}
	c := a.call(hook.Fencing, s.Record)
	c.Mode, c.Operation = hook.ByMonitor, operation
	if out := a.ask(ctx, c); !out.OK() {
		return fmt.Errorf("fencing %s failed: %s", c.Target, out)
	}
	if !a.fencing.keeper.Fenced(meetings) {
		return fmt.Errorf("%s was fenced, but it was met again meanwhile", c.Target)
	}
	return nil
}

// ask runs a command of the site and waits for its outcome.
func (a *Agent) ask(ctx context.Context, c hook.Call) hook.Outcome {
	if a.world.Command != nil {
		return a.world.Command(ctx, c)
	}
	return a.commands.runner.Do(ctx, c)
}

// askWord asks the other server not to take over from a record.
func (a *Agent) askWord(ctx context.Context, r record.Record) error {
	ctx, cancel := a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
	defer cancel()
	return a.link.Call(ctx, wire.KindWord, wire.TellingRequest{Record: r}, nil)
}

// giveWord serves askWord.
func (a *Agent) giveWord(_ context.Context, body json.RawMessage) (any, error) {
	q, err := a.tellingOf(body)
	if err != nil {
		return nil, err
	}
	return nil, a.fencing.keeper.Waive(q.Record)
}

// hearTelling serves keepTelling.
func (a *Agent) hearTelling(_ context.Context, body json.RawMessage) (any, error) {
	q, err := a.tellingOf(body)
	if err != nil {
		return nil, err
	}
	waived, err := a.fencing.keeper.Told(q.Record)
	if err != nil {
		return nil, err
	}
	a.board.Wake()
	return wire.TellingAnswer{Waived: waived}, nil
}

func (a *Agent) tellingOf(body json.RawMessage) (q wire.TellingRequest, err error) {
	if a.fencing.keeper == nil {
		return q, fmt.Errorf("arbiter.kind is %s here: it must be the same in pair.toml on both servers", a.config.Pair.Arbiter.Kind)
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, fmt.Errorf("read record: %w", err)
	}
	if q.Record.Pair != a.config.Pair.Name {
		return q, fmt.Errorf("record of pair %q told to pair %q", q.Record.Pair, a.config.Pair.Name)
	}
	return q, nil
}

// tellingPace is how soon a telling that got no answer is repeated.
const tellingPace = 200 * time.Millisecond

// keepTelling tells the standby that they are paired, when it does not know yet.
func (a *Agent) keepTelling(ctx context.Context) error {
	var logged repeats // it may be refused for days, as where arbiter.kind is another one there
	for ctx.Err() == nil {
		if a.link.State().Connected {
			err := a.tellPaired(ctx)
			a.logTelling(&logged, err)
			if err != nil {
				a.clock.Wait(ctx, tellingPace, nil) // at its pace, not at the loop's
			}
		}
		a.clock.Wait(ctx, tellingPace, a.fencing.due)
	}
	return ctx.Err()
}

func (a *Agent) logTelling(logged *repeats, err error) {
	failed := len(logged.of) > 0
	switch times := logged.tell("", err, a.clock.Now()); {
	case err != nil && times > 0:
		a.log.Info("the other server was not told that they are paired", "error", err, "times", times)
	case err == nil && failed:
		a.log.Info("nothing is in the way any more of telling the other server that they are paired")
	}
}

func (a *Agent) tellPaired(ctx context.Context) error {
	ctx, cancel := a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
	defer cancel()
	if err := a.fencing.keeper.Regain(ctx); err != nil {
		return err
	}
	r, due := a.fencing.keeper.Telling()
	if !due {
		return nil
	}
	var answer wire.TellingAnswer
	if err := a.link.Call(ctx, wire.KindTelling, wire.TellingRequest{Record: r}, &answer); err != nil {
		a.fencing.keeper.Unanswered()
		return err
	}
	defer a.board.Wake()
	return a.fencing.keeper.Answered(ctx, r, answer.Waived)
}
