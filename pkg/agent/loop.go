package agent

import (
	"context"
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
)

// idleTurn is how long the loop rests at most: systemd's watchdog wants a sign.
const idleTurn = time.Second

// loop is the supervisor: observe, decide, act. It never blocks on PostgreSQL, a
// disk or the network: watchers write on the board and the runner does the work.
func (a *Agent) loop(ctx context.Context) error {
	for {
		mark := a.runner.mark()
		s := a.observe()
		now := a.clock.Now()
		facts := a.limits.Classify(s, now)
		rule := decide.Decide(facts)
		a.board.Set(func(s *board.Sight) { steadySince(s, facts, now) })
		if s.PID != 0 {
			a.lookAfter()
		}
		a.note(rule, facts)
		a.advice.turn(a, s, facts)
		if facts.Keeper == decide.KeeperReached {
			a.outcomes.note(outcome{record: s.Record, open: isOpen(s, facts)})
		}
		if a.isStopped(s, rule) {
			a.group.stop(errDone)
			return nil
		}
		a.dropVainSwitch(s, rule)
		a.recallVainSwitch(facts)
		a.dropVainRebuild(s)
		a.endLeftPause(s)
		a.endOldHold(s)
		a.copyIsDue(s, rule)
		a.commandsAreDue(s)
		a.runner.consider(ctx, a.permitted(rule), mark)
		a.tellNews()
		a.fencing.turn()
		a.systemd.turn(facts.Postgres == decide.PostgresOpen || facts.Postgres == decide.PostgresStandby)
		if a.clock.Wait(ctx, a.limits.Next(s, now, idleTurn), a.board.Woken()); ctx.Err() != nil {
			a.runner.end()
			return ctx.Err()
		}
	}
}

// dropVainSwitch ends a switch whose conditions vanished before it began: it must
// not begin at some later time. One that came to its end since the sight was taken looks
// the same from here, and the job tells them apart.
func (a *Agent) dropVainSwitch(s board.Sight, rule decide.Rule) {
	if s.Task != decide.TaskSwitch || rule.Do == decide.Switch || a.runner.doing() == decide.Switch {
		return
	}
	why := fmt.Errorf("it was not begun: rule %d decided: %s", rule.ID, rule.Why)
	a.jobs.Drop(why)
	a.background("save the end of the switch", func(context.Context) error { return a.jobs.SaveEnd() })
	a.board.Set(func(s *board.Sight) { s.Release(decide.TaskSwitch) })
}

// recallVainSwitch ends a switch whose conditions vanish before this server begins to
// close: a checkpoint takes its time, and the fault's own rule must not wait for it.
func (a *Agent) recallVainSwitch(facts decide.Facts) {
	if a.runner.doing() != decide.Switch {
		return
	}
	for _, f := range decide.Switchable.Fields(facts) {
		if !f.Match {
			a.jobs.Recall(fmt.Errorf("its conditions are gone: %s is %s, not %s", f.Name, f.Value, f.Wants))
			return
		}
	}
}

// isOpen reports whether the server that the record names primary takes writes.
func isOpen(s board.Sight, f decide.Facts) bool {
	if f.Record == decide.RecordMine {
		return f.Postgres == decide.PostgresOpen
	}
	return f.Peer == decide.PeerHere && f.PeerPG == decide.PeerPGOpen && !isGatedThere(s, f)
}

// observe brings the sight up to date with what the links know without asking.
func (a *Agent) observe() board.Sight {
	link := a.link.State()
	r, _, reached := a.keeper.Seen()
	reached = reached && a.mayGoBy(r)
	s := a.board.Read()
	lost, leave, doing := s.KeeperLost, a.fencing.leave(), a.runner.doing()
	if !reached && (s.KeeperReached || lost == 0) {
		lost = a.clock.Now()
	}
	a.board.Set(func(s *board.Sight) {
		s.Link, s.KeeperReached, s.KeeperLost = link, reached, lost
		s.Heard = max(s.Heard, link.LastHeard)
		if reached {
			s.Learn(r, true)
		}
		s.Leave = leave
		s.Doing = doing
		if s.Doing == "" {
			s.Progress = ""
		}
	})
	if link.Refused != s.Link.Refused || link.Connected != s.Link.Connected {
		a.neighbour.Kick() // it goes by the board, which says so only now
	}
	return a.board.Read()
}

// permitted holds back the start of PostgreSQL when the operator started the
// supervisor alone (--mc-only) and nobody has started PostgreSQL since.
func (a *Agent) permitted(rule decide.Rule) decide.Rule {
	switch rule.Do {
	case decide.StartOpen, decide.StartGated, decide.StartStandby, decide.Rejoin:
		if a.leftDown.Load() {
			rule.Do = decide.Wait
		}
	}
	if rule.Do == decide.Rejoin && a.hands.Rebuilds.GivenUp() {
		rule.Do = decide.Wait // the operator gave it up: not again until he asks, or a restart
	}
	if replacesData(rule.Do) && a.jobs.ForceLeftToRecord() {
		rule.Do = decide.Wait // the record may come to name this server yet
	}
	return rule
}

// note keeps the deciding rule for status and explain, and writes a change of it
// to the journal.
func (a *Agent) note(rule decide.Rule, facts decide.Facts) {
	if isNoNews(rule.Do, facts, a.runner.doing()) {
		return
	}
	a.mu.Lock()
	changed := rule.ID != a.rule.ID
	a.rule, a.facts = rule, facts
	if rule.Do == decide.Detach {
		a.detachRule = rule.ID
	}
	a.mu.Unlock()
	if changed {
		a.journal.decided(rule, facts)
		a.detachDecided(rule)
	}
}

// isNoNews: in the middle of an action facts are between two states, and that nothing
// else needs doing then says nothing. Nor is the server that recovers a crashed primary's
// data for pg_rewind (in single-user mode) one that would come up as a primary.
func isNoNews(do decide.Action, facts decide.Facts, doing decide.Action) bool {
	recovers := facts.Postgres == decide.PostgresStarting && (doing == decide.Rejoin || doing == decide.Rebuild)
	return do == decide.Wait && doing != "" || do == decide.Retire && recovers
}

// opDone is called by the runner when an action has ended.
func (a *Agent) opDone(action decide.Action, err error, took time.Duration) {
	a.tellEnd(action, err, took)
	if action == decide.Detach && err == nil {
		a.countLoss()
	}
	a.tellNews()
}

func (a *Agent) tellEnd(action decide.Action, err error, took time.Duration) {
	a.mu.Lock()
	times := a.repeats.tell(action, err, a.clock.Now())
	a.mu.Unlock()
	if times == 0 {
		return
	}
	a.journal.acted(action, err, took, times)
	if err != nil {
		a.log.Warn("action failed", "action", action, "error", err)
	}
}

// isStopped: the operator's stop is complete when its action is done. That PostgreSQL is
// down on the board is not enough: the other server must have been told, and a start that
// was left off may have launched what nobody has seen yet.
func (a *Agent) isStopped(s board.Sight, rule decide.Rule) bool {
	if rule.Do != decide.Stop || !s.Known || s.PID != 0 || !a.runner.rests(decide.Stop) {
		return false
	}
	close(a.stopped)
	a.clock.Wait(context.Background(), lingering, nil)
	return true
}

// tellNews sends a report at once when it says something new.
func (a *Agent) tellNews() {
	now := a.essence(a.board.Read())
	a.mu.Lock()
	news := now != a.sent
	a.sent = now
	a.mu.Unlock()
	if news {
		a.link.Kick()
		a.keeper.Kick()
	}
}
