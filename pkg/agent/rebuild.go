package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/wire"
)

// rebuild begins a rebuild of this standby, tells its plan, or shows the one that is
// under way.
func (a *Agent) rebuild(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.RebuildRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	a.awaitRejoin(ctx)
	if job, err := a.hands.Rebuilds.Get(""); err == nil && !job.Final {
		return wire.RebuildAnswer{Job: &job, Plan: &job.Plan}, nil
	}
	if reason := a.noRebuild(a.board.Read()); reason != "" {
		return nil, fmt.Errorf("%w: %s", wire.ErrRefused, reason)
	}
	plan, err := a.hands.PlanRebuild(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrRefused, err)
	}
	if q.DryRun || plan.Way == wire.WayStraight {
		return wire.RebuildAnswer{Plan: &plan}, nil
	}
	if len(plan.Problems) > 0 {
		return nil, fmt.Errorf("%w: %s", wire.ErrRefused, strings.Join(plan.Problems, "; "))
	}
	a.awaitRejoin(ctx) // it is tried again and again
	job, begun, err := a.hands.Rebuilds.Begin(plan, q, false)
	if err != nil {
		return nil, err
	}
	if begun {
		_ = a.claim(decide.TaskRebuild) // after a stop that is under way the next start goes on with it
	}
	return wire.RebuildAnswer{Job: &job, Plan: &job.Plan, Begun: begun}, nil
}

// awaitRejoin waits for a try to come back that is under way: it may do what is asked
// for. One that copies is a job of its own, to be followed; one that has come to the start of
// PostgreSQL may wait there for ever, and is left off for what is asked for.
func (a *Agent) awaitRejoin(ctx context.Context) {
	_ = a.await(ctx, func(s board.Sight) bool { return s.Doing != decide.Rejoin || s.Starting || a.hands.Rebuilds.Running() }) // noRebuild tells
}

// noRebuild says why there is nothing to rebuild here now.
func (a *Agent) noRebuild(s board.Sight) string {
	me, other := a.config.Me(), a.config.Other()
	switch {
	case !s.Record.Exists() || !s.Confirmed:
		return "the record has not been read yet, so nobody knows whose data is right: start the arbiter, or the other server"
	case s.Names(me):
		return fmt.Sprintf("%s is the primary: its data is the one that counts. Rebuild is for the standby; run it on %s", me, other)
	case s.Task != decide.NoTask:
		return fmt.Sprintf("a %s is under way", s.Task)
	case s.Doing == decide.Rejoin && !s.Starting:
		return fmt.Sprintf("%s is being put back by itself just now (%s): wait until that has ended, mcctl status --watch shows it, and repeat", me, doingText(s))
	}
	return ""
}

func (a *Agent) rebuildJob(_ context.Context, body json.RawMessage) (any, error) {
	var q wire.JobRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return a.hands.Rebuilds.Get(q.ID)
}

func (a *Agent) cancelRebuild(_ context.Context, body json.RawMessage) (any, error) {
	var q wire.JobRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	job, err := a.hands.Rebuilds.GiveUp(q.ID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrRefused, err)
	}
	if job.Final { // it had not begun
		a.dropRebuild()
	}
	return job, nil
}

func (a *Agent) dropRebuild() { a.board.Release(decide.TaskRebuild) }

// dropVainRebuild ends a rebuild that can never begin: this server has become primary.
// What an operator gave up, or was in vain, is forgotten when the server has come back
// another way.
func (a *Agent) dropVainRebuild(s board.Sight) {
	if s.Names(a.config.Me()) || s.Look.Receiver.Status == "streaming" {
		a.hands.Rebuilds.Forget()
		a.runner.back()
	}
	if s.Task != decide.TaskRebuild || !s.Names(a.config.Me()) || a.runner.doing() == decide.Rebuild {
		return
	}
	a.hands.Rebuilds.Fail(fmt.Errorf("it was not begun: %s has become primary", a.config.Me()))
	a.background("save the end of the rebuild", func(context.Context) error { return a.hands.Rebuilds.SaveEnd() })
	a.dropRebuild()
}

// holdings tells a standby what there is to copy here.
func (a *Agent) holdings(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.HoldingsRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	session, err := a.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if !q.Sizes {
		oldest, err := session.OldestWAL(ctx)
		return wire.HoldingsAnswer{OldestWAL: oldest}, err
	}
	has, err := session.Holdings(ctx)
	answer := wire.HoldingsAnswer{Bytes: has.Bytes, WAL: has.WAL, OldestWAL: has.OldestWAL}
	answer.Keeps = &wire.LogKeeping{SlotLimit: has.SlotLimit, SlotIdle: has.SlotIdle, Short: a.shortDisks(a.board.Read())}
	for _, t := range has.Tablespaces {
		answer.Tablespaces = append(answer.Tablespaces, wire.TablespaceSpace(t))
	}
	return answer, err
}

// seeStranded notes that the primary has removed the log that this standby needs
// next. It must have waited at the same position for a while, with nothing left to
// replay: an archive or its own pg_wal may still have what the primary has not.
func (a *Agent) seeStranded(ctx context.Context, s board.Sight, waited bool) {
	var has wire.HoldingsAnswer
	if err := a.link.Call(ctx, wire.KindHoldings, wire.HoldingsRequest{}, &has); err != nil {
		return
	}
	at := max(s.Look.Received, s.Look.Replayed)
	idle := false
	err := a.warm.with(ctx, func(ctx context.Context, session act.Session) (err error) {
		idle, err = session.AwaitsLog(ctx)
		return err
	})
	if err != nil || at >= has.OldestWAL {
		a.log.Warn("this standby does not stream, although the primary's history holds all that it has: see both PostgreSQL logs", "at", at)
		return
	}
	a.log.Warn("the primary has removed the log that this standby needs next", "at", at, "oldest", has.OldestWAL, "idle", idle)
	if idle && waited {
		a.board.Note(func(now *board.Sight) { now.Stranded = now.PID == s.PID })
	}
}

// version is that of the data or, when that was emptied or its copy is unfinished,
// of the programs.
func (a *Agent) version(ctx context.Context) (int, error) {
	data := a.config.Server.DataDirectory
	switch {
	case a.postgres.Empty():
		a.log.Warn("the data directory is empty", "path", data)
	case exists(a.hands.KeepDir()) && !exists(filepath.Join(data, "PG_VERSION")):
		a.log.Warn("a copy into the data directory was cut off", "path", data)
	default:
		return a.postgres.Version(ctx)
	}
	return a.postgres.ProgramsVersion(ctx)
}
