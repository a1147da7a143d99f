package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// fromOperator serves what concerns this server alone.
func (a *Agent) fromOperator(kind string) request {
	return map[string]request{
		wire.KindStatus:  func(context.Context, json.RawMessage) (any, error) { return a.status(), nil },
		wire.KindExplain: func(context.Context, json.RawMessage) (any, error) { return a.explain(), nil },
		wire.KindPIDs:    func(context.Context, json.RawMessage) (any, error) { return a.pids(), nil },
	}[kind]
}

// passedOn serves what an operator may ask on either server. Requests that
// concern the primary go on to it; a forced switch is for the server it names.
func (a *Agent) passedOn(kind string) request {
	switch kind {
	case wire.KindStop:
		return a.stop
	case wire.KindSwitch:
		return a.doSwitch
	case wire.KindJob:
		return a.whereKnown(kind, func(id string) (wire.Job, error) { return a.jobs.Get(id) })
	case wire.KindCancel:
		return a.whereKnown(kind, a.jobs.GiveUp)
	case wire.KindDetach:
		return a.onPrimary(kind, a.detach)
	case wire.KindAttach:
		return a.onPrimary(kind, a.attach)
	}
	return nil
}

// onPrimary serves the request here when this server is primary and asks the other
// one otherwise.
func (a *Agent) onPrimary(kind string, serve request) request {
	return func(ctx context.Context, body json.RawMessage) (any, error) {
		if s := a.board.Read(); s.Names(a.config.Me()) {
			return serve(ctx, body)
		}
		return a.askOther(ctx, kind, body)
	}
}

func (a *Agent) askOther(ctx context.Context, kind string, body json.RawMessage) (any, error) {
	var answer json.RawMessage
	if err := a.link.Call(ctx, kind, body, &answer); err != nil {
		return nil, fmt.Errorf("ask %s: %w", a.config.Other(), err)
	}
	return answer, nil
}

// whereKnown serves a request about a job on the server where it began: that one
// knows it, whoever is primary now. Local marks a question that was passed on.
func (a *Agent) whereKnown(kind string, serve func(id string) (wire.Job, error)) request {
	return func(ctx context.Context, body json.RawMessage) (any, error) {
		var q wire.JobRequest
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		_, unknown := a.jobs.Get(q.ID)
		if unknown == nil || q.Local {
			return serve(q.ID)
		}
		return a.askOther(ctx, kind, mustJSON(wire.JobRequest{ID: q.ID, Local: true}))
	}
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // our own plain structs always encode
	}
	return b
}

func (a *Agent) doSwitch(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.SwitchRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if q.Force {
		return a.force(ctx)
	}
	return a.onPrimary(wire.KindSwitch, a.beginSwitch)(ctx, body)
}

func (a *Agent) beginSwitch(context.Context, json.RawMessage) (any, error) {
	s := a.board.Read()
	if problems := a.switchProblems(s); len(problems) > 0 {
		return nil, fmt.Errorf("switch: %w: %w", wire.ErrRefused, errors.Join(problems...))
	}
	if s.Task != decide.NoTask {
		return nil, fmt.Errorf("switch: %w: a %s is under way", wire.ErrRefused, s.Task)
	}
	job, err := a.jobs.Begin("switch", a.config.Me(), a.config.Other(), s.Record)
	if err != nil {
		return nil, err
	}
	a.board.Note(func(s *board.Sight) { s.Task = decide.TaskSwitch })
	return job, nil
}

// switchProblems lists everything that is in the way of a switch, each with its
// value and what was wanted.
func (a *Agent) switchProblems(s board.Sight) (problems []error) {
	f := a.limits.Classify(s, wire.Now())
	say := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if f.Mode != decide.Paired {
		say("the record is %s, and only a paired one may pass to %s: wait until it is attached (mcctl status)", f.Mode, a.config.Other())
	}
	if f.Peer != decide.PeerHere {
		say("the supervisor of %s is %s, not here", a.config.Other(), f.Peer)
	}
	if f.PeerPG != decide.PeerPGStandby {
		say("PostgreSQL of %s is %s, not standby", a.config.Other(), f.PeerPG)
	}
	if f.Stream != decide.StreamClose {
		say("replication to %s is %s, not close", a.config.Other(), f.Stream)
	}
	if f.Keeper != decide.KeeperReached {
		say("the arbiter is %s", f.Keeper)
	}
	if f.Postgres != decide.PostgresOpen {
		say("PostgreSQL of %s is %s, not open", a.config.Me(), f.Postgres)
	}
	return problems
}

// force is T8: the operator decides that this server reigns, whatever may be lost.
func (a *Agent) force(ctx context.Context) (any, error) {
	s := a.board.Read()
	f := a.limits.Classify(s, wire.Now())
	reason := ""
	switch {
	case s.Names(a.config.Me()):
		reason = fmt.Sprintf("%s is primary already", a.config.Me())
	case f.Peer == decide.PeerHere && f.PeerPG == decide.PeerPGOpen:
		reason = fmt.Sprintf("%s is open and reached: use mcctl switch without --force", a.config.Other())
	case f.Postgres != decide.PostgresStandby:
		reason = fmt.Sprintf("PostgreSQL of %s is %s, not standby: start it first", a.config.Me(), f.Postgres)
	}
	if reason != "" {
		return nil, fmt.Errorf("force: %w: %s", wire.ErrRefused, reason)
	}
	r, err := a.keeper.Change(ctx, record.Change{Transition: record.Force, By: a.config.Me(), To: a.config.Me(), From: s.Record.Revision})
	if err != nil {
		return nil, fmt.Errorf("force %s: %w", a.config.Me(), err)
	}
	job, err := a.jobs.Forced(a.config.Me(), r)
	a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
	return job, errors.Join(err, a.saveCopy())
}

// operatorPatience bounds how long detach and attach wait for their outcome.
const operatorPatience = 30 * time.Second

func (a *Agent) detach(ctx context.Context, _ json.RawMessage) (any, error) {
	if task := a.board.Read().Task; task != decide.NoTask {
		return nil, fmt.Errorf("detach: %w: a %s is under way", wire.ErrRefused, task)
	}
	if err := a.wish(func(w *wishes) { w.Held = true }); err != nil {
		return nil, err
	}
	a.board.Note(func(s *board.Sight) { s.Task = decide.TaskDetach })
	defer a.board.Note(func(s *board.Sight) {
		if s.Task == decide.TaskDetach {
			s.Task = decide.NoTask
		}
	})
	if err := a.await(ctx, func(s board.Sight) bool { return board.Mode(s) == decide.Alone && s.Doing == "" }); err != nil {
		return nil, fmt.Errorf("detach %s: %w; see mcctl explain", a.config.Other(), err)
	}
	if err := a.released(ctx); err != nil {
		return nil, err
	}
	return wire.Done{Note: fmt.Sprintf("%s is detached and stays so until mcctl attach", a.config.Other())}, nil
}

func (a *Agent) attach(ctx context.Context, _ json.RawMessage) (any, error) {
	if err := a.wish(func(w *wishes) { w.Held = false }); err != nil {
		return nil, err
	}
	if err := a.await(ctx, func(s board.Sight) bool { return board.Mode(s) == decide.Paired }); err != nil {
		return nil, fmt.Errorf("attach %s: %w; it is attached as soon as it streams and is close, see mcctl explain", a.config.Other(), err)
	}
	return wire.Done{Note: fmt.Sprintf("%s is attached", a.config.Other())}, nil
}

func (a *Agent) await(ctx context.Context, met func(board.Sight) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, operatorPatience, fmt.Errorf("not within %s", operatorPatience))
	defer cancel()
	for !met(a.board.Read()) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stop ends this supervisor, with PostgreSQL unless asked otherwise, and first the
// other one when both shall stop.
func (a *Agent) stop(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.StopRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	var answer wire.StopAnswer
	if q.Both {
		if err := a.link.Call(ctx, wire.KindStop, wire.StopRequest{KeepPostgres: q.KeepPostgres}, nil); err != nil {
			answer.Notes = append(answer.Notes, fmt.Sprintf("%s was not stopped: %v", a.config.Other(), err))
		}
	}
	if q.KeepPostgres {
		time.AfterFunc(lingering, func() { a.group.stop(errDone) })
		return answer, nil
	}
	a.board.Note(func(s *board.Sight) { s.Task = decide.TaskStop })
	select {
	case <-a.stopped:
		return answer, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (a *Agent) pids() wire.PIDs {
	s := a.board.Read()
	return wire.PIDs{Supervisor: os.Getpid(), Watch: os.Getppid(), Postmaster: s.PID}
}
