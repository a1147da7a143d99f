package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

// fromOperator serves what concerns this server alone.
func (a *Agent) fromOperator(kind string) request {
	return map[string]request{
		wire.KindStatus:  a.tellStatus,
		wire.KindCheck:   a.check,
		wire.KindExplain: func(context.Context, json.RawMessage) (any, error) { return a.explain(), nil },
		wire.KindRebuild: a.rebuild, wire.KindRebuildJob: a.rebuildJob, wire.KindRebuildCancel: a.cancelRebuild,
		wire.KindPIDs: func(context.Context, json.RawMessage) (any, error) { return a.pids(), nil },
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
	case wire.KindPreview:
		return a.onPrimary(kind, a.preview)
	case wire.KindJob:
		return a.whereKnown(kind, func(id string) (wire.Job, error) { return a.jobs.Get(id) })
	case wire.KindCancel:
		return a.whereKnown(kind, a.jobs.GiveUp)
	case wire.KindDetach:
		return a.onPrimary(kind, a.detach)
	case wire.KindAttach:
		return a.onPrimary(kind, a.attach)
	case wire.KindMove:
		return a.onPrimary(kind, a.move)
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

// passedKey marks, in a request's context, that the other server has passed it on.
type passedKey struct{}

// askOther passes a request on, once. While the two do not agree who is primary, each
// would pass it back for ever.
func (a *Agent) askOther(ctx context.Context, kind string, body json.RawMessage) (any, error) {
	if passed, _ := ctx.Value(passedKey{}).(bool); passed {
		return nil, fmt.Errorf("%w: %s is not the primary either; the two servers do not agree yet, ask again", wire.ErrRefused, a.config.Me())
	}
	var answer json.RawMessage
	var no *wire.RemoteError
	switch err := a.link.Call(ctx, kind, body, &answer); {
	case errors.As(err, &no) && !errors.Is(err, wire.ErrNoAnswer):
		return nil, no // what the other server says is the answer
	case err != nil:
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
		job, unknown := a.jobs.Get(q.ID)
		here := unknown == nil || q.Local
		if here && q.ID == "" && !q.Local {
			newer, err := a.newerThere(ctx, job)
			if err != nil {
				return nil, err
			}
			q.ID, here = newer, newer == ""
		}
		if here {
			return serve(q.ID)
		}
		return a.askOther(ctx, kind, mustJSON(wire.JobRequest{ID: q.ID, Local: true}))
	}
}

// newerThere is the other server's newest job if it is newer than this server's, else "".
// One of this reign, or under way, is the newest: only the primary begins any. To take an
// older one for the newest would tell a switch as done that has only just begun.
func (a *Agent) newerThere(ctx context.Context, here wire.Job) (id string, err error) {
	if !here.Final || here.Term > uint64(a.board.Read().Record.Term) {
		return "", nil
	}
	var there wire.Job
	var no *wire.RemoteError
	switch err := a.link.Call(ctx, wire.KindJob, wire.JobRequest{Local: true}, &there); {
	case errors.As(err, &no) && !errors.Is(err, wire.ErrNoAnswer):
		return "", nil // it knows none
	case err != nil:
		return "", fmt.Errorf("%s may know a newer switch than %s: %w", a.config.Other(), here.ID, err)
	case !there.Final || there.Term > here.Term:
		return there.ID, nil
	}
	return "", nil
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
		return a.force(q.NoFencing)
	}
	return a.onPrimary(wire.KindSwitch, a.beginSwitch)(ctx, body)
}

func (a *Agent) beginSwitch(ctx context.Context, _ json.RawMessage) (any, error) {
	p := a.foresee(ctx, false)
	if !p.Possible() {
		return nil, fmt.Errorf("%w: %s", wire.ErrRefused, strings.Join(p.Blockers(), "\n"))
	}
	job, err := a.enterSwitch(ctx)
	job.Warnings = p.Warnings()
	return job, err
}

func (a *Agent) enterSwitch(ctx context.Context) (wire.Job, error) {
	job, err := a.hands.BeginSwitch(ctx, "switch")
	if err != nil {
		return job, err
	}
	if err := a.claim(decide.TaskSwitch); err != nil {
		a.jobs.Drop(err)
		a.background("save the end of the switch", func(context.Context) error { return a.jobs.SaveEnd() })
		return job, err
	}
	return job, nil
}

// claim takes on a task of an operator's, unless there is one: a stop above all, which
// may have been asked for while a disk was waited for.
func (a *Agent) claim(task decide.Task) error { return mustBeFree(a.board.Claim(task)) }

// mustBeFree refuses what cannot be done beside a task that is under way.
func mustBeFree(underWay decide.Task) error {
	if underWay == decide.NoTask {
		return nil
	}
	return fmt.Errorf("%w: a %s is under way", wire.ErrRefused, underWay)
}

// operatorPatience bounds how long detach and attach wait for their outcome.
const operatorPatience = 30 * time.Second

// detach goes on when whoever asked has gone, as the command says when its time is over.
func (a *Agent) detach(_ context.Context, body json.RawMessage) (any, error) {
	ctx := a.group.ctx
	if err := a.prepareDetach(ctx, body); err != nil {
		return nil, err
	}
	before := a.board.Read()
	if err := mustBeFree(before.Task); err != nil {
		return nil, err
	}
	if err := a.wish(func(w *wishes) { w.Held = true }); err != nil {
		return nil, err
	}
	if err := a.claim(decide.TaskDetach); err != nil {
		return nil, errors.Join(err, a.wish(func(w *wishes) { w.Held = before.Held }))
	}
	defer a.board.Release(decide.TaskDetach)
	err := a.await(ctx, func(s board.Sight) bool {
		return !s.Names(a.config.Me()) || board.Mode(s) == decide.Alone && s.Doing == ""
	})
	if s := a.board.Read(); err == nil && !s.Names(a.config.Me()) {
		err = fmt.Errorf("%s became primary meanwhile", a.config.Other())
	}
	if err != nil {
		err = fmt.Errorf("detach %s: %w; see mcctl explain", a.config.Other(), err)
		return nil, errors.Join(err, a.takeBackDetach(before.Held))
	}
	if err := a.released(ctx); err != nil {
		return nil, err
	}
	return wire.Done{Note: fmt.Sprintf("%s is detached and stays so until mcctl attach", a.config.Other())}, nil
}

// takeBackDetach ends a detach that has failed: it is not made later, and the standby is
// not held off, else one that is lost some day would stay lost. A detach that came about
// at the last moment stays as it was asked for.
func (a *Agent) takeBackDetach(held bool) error {
	a.board.Release(decide.TaskDetach)
	if s := a.board.Read(); s.Names(a.config.Me()) && board.Mode(s) == decide.Alone {
		return nil
	}
	return a.wish(func(w *wishes) { w.Held = held })
}

func (a *Agent) attach(ctx context.Context, _ json.RawMessage) (any, error) {
	if err := a.wish(func(w *wishes) { w.Held = false }); err != nil {
		return nil, err
	}
	a.board.Note(func(s *board.Sight) { s.Losses = board.Losses{} }) // whoever asks has seen to it
	if err := a.await(ctx, func(s board.Sight) bool { return board.Mode(s) == decide.Paired || s.Held }); err != nil {
		return nil, fmt.Errorf("attach %s: %w, %w; it is attached as soon as it streams and is close, see mcctl explain", a.config.Other(), wire.ErrNotYet, err)
	}
	if a.board.Read().Held {
		return nil, fmt.Errorf("attach %s: an operator has detached it again meanwhile", a.config.Other())
	}
	return wire.Done{Note: fmt.Sprintf("%s is attached", a.config.Other())}, nil
}

func (a *Agent) await(ctx context.Context, met func(board.Sight) bool) error {
	ctx, cancel := a.clock.Timeout(ctx, operatorPatience, fmt.Errorf("not within %s", operatorPatience))
	defer cancel()
	for !met(a.board.Read()) {
		if err := clock.Pause(a.clock, ctx, 5*time.Millisecond); err != nil {
			return err
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
		a.stopOther(ctx, q, &answer)
	}
	if q.KeepPostgres {
		a.leaves.Store(true)
		a.clock.After(lingering, func() { a.group.stop(errDone) })
		return answer, nil
	}
	a.beforeStop(ctx)
	if !q.Both && !q.Regardless {
		if err := a.mayStop(ctx); err != nil {
			return nil, err
		}
	}
	a.beginStop()
	if a.clock.Wait(ctx, -1, a.stopped) {
		return answer, nil
	}
	// This run of the supervisor ends first, for the stop or to begin anew: who asked must see
	// for himself what has come of it.
	return nil, fmt.Errorf("%w: %w", wire.ErrNoAnswer, context.Cause(ctx))
}

func (a *Agent) pids() wire.PIDs {
	s := a.board.Read()
	return wire.PIDs{Supervisor: os.Getpid(), Watch: os.Getppid(), Postmaster: s.PID}
}
