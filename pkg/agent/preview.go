package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// preview answers what a switch would meet now.
func (a *Agent) preview(ctx context.Context, _ json.RawMessage) (any, error) {
	return a.foresee(ctx, true), nil
}

// foresee looks at everything that may be in the way of a switch. What cannot be
// seen in time is told so, and blocks nothing by itself. For who only wants to know
// (whole) the gap is estimated too, and dirty buffers are counted, which takes a while.
func (a *Agent) foresee(ctx context.Context, whole bool) check.Preview {
	room := make(chan check.Hurdle, 1)
	go func() { room <- a.standbyRoom(ctx) }()
	w := check.Way{From: a.config.Me(), To: a.config.Other(), MaxLag: a.limits.now().AttachMaxLag}
	if board.Postgres(a.board.Read()) == decide.PostgresOpen {
		w.Primary, w.Standby, _, _ = a.bothProgress(ctx)
		w.InTheWay = a.inTheWay(ctx, whole)
	}
	if whole {
		w.Last = a.lastSwitch(ctx)
	}
	found := <-room
	w.Conditions = append(a.conditions(a.board.Read()), found) // last: the rest took a moment
	return check.Foresee(w)
}

func (a *Agent) inTheWay(ctx context.Context, countDirty bool) *postgres.InTheWay {
	patience := progressPatience
	if countDirty {
		patience = inspectPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var seen postgres.InTheWay
	err := a.asked.with(ctx, func(ctx context.Context, s *postgres.Session) (err error) {
		if seen, err = s.InTheWay(ctx); err != nil || !countDirty {
			return err
		}
		if dirty, known := s.DirtyBytes(ctx); known {
			seen.Dirty = &dirty
		}
		return nil
	})
	if err != nil {
		a.log.Warn("what is in the way of a switch cannot be seen", "error", err)
		return nil
	}
	return &seen
}

// lastSwitch is the newest switch that went well, on whichever server it began.
func (a *Agent) lastSwitch(ctx context.Context) *wire.Job {
	ctx, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	var newest *wire.Job
	for _, ask := range []func() (wire.Job, error){
		func() (wire.Job, error) { return a.jobs.Get("") },
		func() (job wire.Job, err error) {
			return job, a.link.Call(ctx, wire.KindJob, wire.JobRequest{Local: true}, &job)
		},
	} {
		if job, err := ask(); err == nil && (newest == nil || job.Term > newest.Term) {
			newest = &job
		}
	}
	return newest
}

// conditions are what the supervisor itself knows of a switch, each with its value
// and what was wanted.
func (a *Agent) conditions(s board.Sight) []check.Hurdle {
	f := a.limits.Classify(s, a.clock.Now())
	me, other := a.config.Me(), a.config.Other()
	var all []check.Hurdle
	add := func(id string, holds bool, value, wanted fmt.Stringer, text string) {
		h := check.Hurdle{ID: id, Value: value.String(), Threshold: wanted.String(), State: check.Fine}
		if !holds {
			h.State, h.Text = check.Blocker, text
		}
		all = append(all, h)
	}
	add("record", f.Mode == decide.Paired, f.Mode, decide.Paired,
		fmt.Sprintf("the record is %s, and only a paired one may pass to %s: wait until it is attached (mcctl status)", f.Mode, other))
	add("supervisor", f.Peer == decide.PeerHere, f.Peer, decide.PeerHere,
		fmt.Sprintf("the supervisor of %s is %s, not here", other, f.Peer))
	add("standby", f.PeerPG == decide.PeerPGStandby, f.PeerPG, decide.PeerPGStandby,
		fmt.Sprintf("PostgreSQL of %s is %s, not standby", other, f.PeerPG))
	add("stream", f.Stream == decide.StreamClose, f.Stream, decide.StreamClose,
		fmt.Sprintf("replication to %s is %s, not close", other, f.Stream))
	held, _, _ := a.keeper.Seen()
	switch why := a.keeper.Problem(); {
	case f.Keeper != decide.KeeperReached:
		add("arbiter", false, f.Keeper, decide.KeeperReached, fmt.Sprintf("the arbiter is %s", f.Keeper))
	case !held.Exists():
		add("arbiter", false, f.Keeper, decide.KeeperReached, "the arbiter is reached, but "+withoutRecord)
	default:
		add("arbiter", why == "", f.Keeper, decide.KeeperReached, "the arbiter is reached, but "+why)
	}
	add("primary", f.Postgres == decide.PostgresOpen, f.Postgres, decide.PostgresOpen,
		fmt.Sprintf("PostgreSQL of %s is %s, not open", me, f.Postgres))
	add("disk", f.Disk != decide.DiskFailed, f.Disk, decide.DiskFine,
		fmt.Sprintf("a disk of %s fails (%s): it hands over without a switch when failover is enabled (mcctl enable-failover)", me, s.DiskError))
	// No rule of the table goes by these: an automatic take-over must not wait for an editor.
	all = append(all, configuration("primary-configuration", me, s.ConfigInTheWay), configuration("standby-configuration", other, s.Report.ConfigInTheWay))
	add("task", s.Task == decide.NoTask, s.Task, decide.NoTask,
		fmt.Sprintf("a %s is under way", s.Task))
	return all
}

// roomPatience bounds the look at the standby's disks, which begins a process there.
const roomPatience = 2 * time.Second

// standbyRoom tells whether the standby has the room of a primary, by a look of this moment.
// It is looked at once more before this server closes (act.Hands). No rule of the table goes
// by it: a standby that is short of room is better than no server.
func (a *Agent) standbyRoom(ctx context.Context) check.Hurdle {
	ctx, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	const enough = "enough"
	h := check.Hurdle{ID: "standby-room", Value: enough, Threshold: enough, State: check.Fine}
	var got wire.HoldsAnswer
	switch err := a.link.Call(ctx, wire.KindHolds, wire.HoldsRequest{Room: true}, &got); {
	case err != nil:
		h.Value, h.State, h.Text = "-", check.NotSeen, fmt.Sprintf("room on the disks of %s could not be looked at, and the switch ends before it closes anything if that stays so: %v", a.config.Other(), err)
	case got.NoRoom != "":
		h.Value, h.State = "none", check.Blocker
		h.Text = fmt.Sprintf("%s has no room to take over: %s", a.config.Other(), got.NoRoom)
	}
	return h
}

// configuration tells whether a server can take its other role with the files that it has.
func configuration(id string, of pair.Server, inTheWay string) check.Hurdle {
	const inOrder = "in order"
	h := check.Hurdle{ID: id, Value: inOrder, Threshold: inOrder, State: check.Fine}
	if inTheWay != "" {
		h.Value, h.State = "not "+inOrder, check.Blocker
		h.Text = fmt.Sprintf("%s cannot change its role with PostgreSQL's configuration files as they are: %s", of, firstLine(inTheWay))
	}
	return h
}
