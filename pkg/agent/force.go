package agent

import (
	"context"
	"errors"
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/hook"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// force is T8: the operator decides that this server reigns, whatever may be lost.
// Fencing takes its time: what was in the way before may not be what is now. It goes on
// when whoever asked has gone: a server that was fenced for nothing would help nobody.
func (a *Agent) force(noFencing bool) (any, error) {
	ctx := a.group.ctx
	if err := a.mayForce(a.board.Read()); err != nil {
		return nil, err
	}
	end, doing := a.runner.spareData()
	defer end()
	if doing != "" {
		return nil, fmt.Errorf("force: %w: a %s is under way on %s: wait for its end", wire.ErrRefused, doing, a.config.Me())
	}
	if err := a.fence(ctx, hook.OpSwitch, noFencing); err != nil {
		return nil, fmt.Errorf("force: %w", err)
	}
	s := a.board.Read()
	if err := a.mayForce(s); err != nil {
		return nil, err
	}
	return a.takeByForce(ctx, s.Record)
}

// takeByForce changes the record and makes the job of that. What cannot be saved afterwards
// is no reason to call it failed: this server reigns. Nor is an answer that was lost: the
// change may come into force yet, as on a slow disk.
func (a *Agent) takeByForce(ctx context.Context, from record.Record) (any, error) {
	asking, cancel := a.clock.Timeout(ctx, a.config.Timings().HeartbeatTimeout.Duration, nil)
	defer cancel()
	me := a.config.Me()
	if a.config.Pair.Arbiter.Apart() {
		if _, err := a.keeper.Read(asking); err != nil { // one that is frozen would make the change when it thaws, whoever reigns by then
			return nil, fmt.Errorf("force %s: %w: the arbiter at %s does not answer, so nothing was asked of it: %v", me, wire.ErrRefused, a.config.Pair.Arbiter.Where(), err)
		}
	}
	r, err := a.keeper.Change(asking, record.Change{Transition: record.Force, By: me, To: me, From: from.Revision})
	lost := errors.Is(err, wire.ErrNoAnswer)
	if err != nil && !lost {
		return nil, fmt.Errorf("force %s: %w", me, err)
	}
	if !lost {
		a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
	}
	job := a.jobs.Forced(me, from.Term+1, !lost)
	a.background("save the forced switch", func(context.Context) error { return errors.Join(a.jobs.SaveEnd(), a.saveCopy()) })
	if lost {
		job.Warnings = []string{fmt.Sprintf("whether the record has changed is not known yet: %v", err)}
	}
	return job, nil
}

func (a *Agent) mayForce(s board.Sight) error {
	f := a.limits.Classify(s, a.clock.Now())
	reason := ""
	switch {
	case s.Names(a.config.Me()) && a.fencing.unmet() != "":
		return nil // it waits for the other server, which may be gone for good
	case s.Names(a.config.Me()):
		reason = fmt.Sprintf("%s is primary already", a.config.Me())
	case a.withoutAnyRecord(s):
		reason = a.startOver()
	case f.Peer == decide.PeerHere && isGatedThere(s, f):
		reason = fmt.Sprintf("%s is reached and lets clients in as soon as it may: see mcctl explain there", a.config.Other())
	case f.Peer == decide.PeerHere && f.PeerPG == decide.PeerPGOpen:
		reason = fmt.Sprintf("%s is open and reached: use mcctl switch without --force", a.config.Other())
	case !a.keeperAnswers():
		reason = fmt.Sprintf("the arbiter at %s is not reached, so the record cannot change: start it first", a.config.Pair.Arbiter.Where())
	default:
		reason = a.notReady(s, f)
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("force: %w: %s", wire.ErrRefused, reason)
}

// keeperAnswers: a record that is held apart from the servers can be changed now.
func (a *Agent) keeperAnswers() bool {
	_, _, reached := a.keeper.Seen()
	return reached || !a.config.Pair.Arbiter.Apart()
}

// notReady is why this server's data is not to be opened by force, or "". It is a standby's
// that runs, or that of an old primary, which nobody starts while the record names the other
// server: it lacks all that was written there since, and does only when that one is gone.
func (a *Agent) notReady(s board.Sight, f decide.Facts) string {
	me, other := a.config.Me(), a.config.Other()
	switch {
	case f.Postgres == decide.PostgresStandby:
		return ""
	case f.Postgres == decide.PostgresDown && s.Doing != "":
		return fmt.Sprintf("a %s is under way on %s: wait for its end", s.Doing, me)
	case f.Postgres == decide.PostgresDown && f.Data == decide.DataBroken:
		return fmt.Sprintf("the data directory of %s is empty or half made", me)
	case f.Postgres != decide.PostgresDown, f.Data == decide.DataFollower, f.Mode != decide.Alone:
		return fmt.Sprintf("PostgreSQL of %s is %s, not standby: start it first", me, f.Postgres)
	case a.keeper.OtherHeard():
		return fmt.Sprintf("%s lacks what was written since %s took over, and the arbiter hears that one's supervisor: see what it says there", me, other)
	case !isGone(f):
		return fmt.Sprintf("%s lacks what was written since %s took over, and that one is not gone: its supervisor is %s, its PostgreSQL %s; start it there or, if its data is lost, stop it", me, other, f.Peer, f.PeerPG)
	}
	return ""
}

// isGone: neither the other server's supervisor nor its PostgreSQL answers.
func isGone(f decide.Facts) bool {
	supervisor := f.Peer == decide.PeerRefused || f.Peer == decide.PeerLost
	return supervisor && (f.PeerPG == decide.PeerPGDown || f.PeerPG == decide.PeerPGSilent || f.PeerPG == decide.PeerPGResting)
}
