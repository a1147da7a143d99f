package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// holdingsPatience bounds the walk through the primary's files.
const holdingsPatience = time.Minute

// PlanRebuild says what a rebuild would do, and why, without changing anything. The
// error is that of a primary that cannot be asked: then what is here may be the last
// good copy, and stays (S4). Everything else that is in the way is a problem of the
// plan.
func (h *Hands) PlanRebuild(ctx context.Context, q wire.RebuildRequest) (wire.RebuildPlan, error) {
	s := h.Board.Read()
	plan := wire.RebuildPlan{Server: h.me(), From: h.other(), InPlace: q.InPlace, Paired: board.Mode(s) != decide.Alone, BytesPerSecond: h.Rebuilds.Rate()}
	history, err := h.history(ctx)
	if err != nil {
		// Not wrapped: this is a clear no, although it comes of no answer.
		return plan, fmt.Errorf("%v; nothing here is rewound or replaced unless %s is reached and open now: this may be the last good copy", err, h.other())
	}
	has, err := h.holdings(ctx, true)
	if err != nil {
		return plan, err
	}
	at := h.standing(q.Way)
	at.history = history
	_, kept := os.Lstat(h.KeepDir())
	at.broken = kept == nil
	h.readFiles(&at)
	h.missLog(&at, has.OldestWAL)
	plan.Lacks = int64(at.last.Behind(history.Insert))
	w, err := at.choose()
	if err != nil {
		plan.Problems = append(plan.Problems, err.Error())
		return plan, nil
	}
	plan.Way, plan.Why, plan.Extra = w.name, w.why, w.extra
	if w.name == wire.WayCopy || w.name == wire.WayCommand {
		h.planCopy(ctx, &plan, at, has, q)
	}
	return plan, nil
}

// holdings asks the primary what there is to copy; its sizes take their time.
func (h *Hands) holdings(ctx context.Context, sizes bool) (a wire.HoldingsAnswer, err error) {
	ctx, cancel := h.within(ctx, holdingsPatience, nil)
	defer cancel()
	if err := h.Peer.Call(ctx, wire.KindHoldings, wire.HoldingsRequest{Sizes: sizes}, &a); err != nil {
		return a, fmt.Errorf("ask %s what there is to copy: %w", h.other(), err)
	}
	return a, nil
}

func (h *Hands) planCopy(ctx context.Context, plan *wire.RebuildPlan, at standing, has wire.HoldingsAnswer, q wire.RebuildRequest) {
	problem := func(err error) { plan.Problems = append(plan.Problems, err.Error()) }
	plan.Bytes, plan.Warnings = has.Bytes, keepingWarnings(plan.From, has)
	for _, t := range has.Tablespaces {
		plan.Bytes += t.Bytes
	}
	if plan.BytesPerSecond > 0 {
		plan.Seconds = plan.Bytes/plan.BytesPerSecond + 1
	}
	if plan.Way == wire.WayCommand {
		if _, err := h.copyCommand(); err != nil {
			problem(err)
		}
	}
	inPlace, err := h.inPlace(ctx, at, q)
	if err != nil {
		problem(err)
		return
	}
	plan.InPlace = inPlace
	if plan.Rooms, err = h.rooms(ctx, has, inPlace); err != nil {
		problem(err)
	}
	if err := tooLittle(plan.Rooms, inPlace); err != nil {
		problem(err)
	}
}

func (h *Hands) rooms(ctx context.Context, has wire.HoldingsAnswer, inPlace bool) (all []wire.Room, err error) {
	known, _, err := postgres.SavedOwn(h.OwnDir())
	if err != nil {
		return nil, err
	}
	holdings := postgres.Holdings{Bytes: has.Bytes, WAL: has.WAL}
	for _, t := range has.Tablespaces {
		holdings.Tablespaces = append(holdings.Tablespaces, postgres.Tablespace(t))
	}
	rooms, err := h.Postgres.Rooms(ctx, h.copySource(), known, holdings, inPlace)
	for _, r := range rooms {
		all = append(all, wire.Room(r))
	}
	return all, err
}

// roomFor is the same check just before a copy, also for one that nobody asked for.
func (h *Hands) roomFor(ctx context.Context, inPlace bool) error {
	has, err := h.holdings(ctx, true)
	if err != nil {
		return err
	}
	for _, warning := range keepingWarnings(h.other(), has) {
		h.Log.Warn(warning)
	}
	rooms, err := h.rooms(ctx, has, inPlace)
	return errors.Join(err, tooLittle(rooms, inPlace))
}

// keepingWarnings say what threatens the primary, or the log that its slot keeps, while
// a copy is made. They refuse nothing: the rebuild may be what is needed most.
func keepingWarnings(primary pair.Server, has wire.HoldingsAnswer) (all []string) {
	if has.Keeps == nil {
		return nil
	}
	for _, d := range has.Keeps.Short {
		why := fmt.Sprintf("nobody can take over from %s", primary)
		if d.Log {
			why = fmt.Sprintf("%s keeps its log there", primary)
		}
		all = append(all, fmt.Sprintf("room is %s on %s: %s; %s until the copy streams: free or add some there", d.Level, primary, d.Disk, why))
	}
	if limit := has.Keeps.SlotLimit; limit >= 0 && limit < has.WAL {
		all = append(all, fmt.Sprintf("max_slot_wal_keep_size on %s is %s, less than max_wal_size (%s): the slot may be invalidated before the copy streams, and log that the copy or the old data needs is lost with it: set it to -1 (no limit), or to more than is written meanwhile, and reload",
			primary, pair.Size(uint64(limit)), pair.Size(uint64(has.WAL))))
	}
	if idle := has.Keeps.SlotIdle; idle > 0 {
		all = append(all, fmt.Sprintf("idle_replication_slot_timeout on %s is %s, and the slot is idle until the copy streams: if that takes longer, the slot is invalidated, and log that the copy or the old data needs is lost with it: set it to 0 and reload",
			primary, time.Duration(idle)*time.Second))
	}
	return all
}

func tooLittle(rooms []wire.Room, inPlace bool) error {
	for _, r := range rooms {
		if r.Needs > r.Free {
			const mb = 1 << 20
			needs, free := (r.Needs+mb-1)/mb, r.Free/mb // rounded so that what is asked for is enough
			return fmt.Errorf("the file system of %s has %d MB free, and the copy needs %d MB with the log that is written meanwhile, which is %d MB more: make room%s", r.Path, free, needs, needs-free, orInPlace(inPlace))
		}
	}
	return nil
}

func orInPlace(already bool) string {
	if already {
		return ""
	}
	return ", or give up the old data first with --in-place"
}
