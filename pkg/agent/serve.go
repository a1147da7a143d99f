package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// localName is the identity of whoever reaches the control socket: file
// permissions have let him in.
const localName = "local"

// releasePatience bounds how long a standby's goodbye waits for T1.
const releasePatience = 10 * time.Second

type request func(ctx context.Context, body json.RawMessage) (any, error)

// Handle serves one request. The other server may ask what the pair needs;
// operators come in over the control socket.
func (a *Agent) Handle(ctx context.Context, from wire.Identity, kind string, body json.RawMessage) (any, error) {
	if from.Name != localName && !a.isOther(from) {
		return nil, fmt.Errorf("%s of pair %q has no business here", from.Name, from.Pair)
	}
	serve := a.fromServer(kind)
	if serve == nil && from.Name == localName {
		serve = a.fromOperator(kind)
	}
	if serve == nil {
		serve = a.passedOn(kind)
		ctx = context.WithValue(ctx, passedKey{}, from.Name != localName)
	}
	if serve == nil {
		return nil, fmt.Errorf("%q is not a request that %s may make here", kind, from.Name)
	}
	return serve(ctx, body)
}

func (a *Agent) isOther(from wire.Identity) bool {
	return from.Pair == a.config.Pair.Name && from.Name == string(a.config.Other())
}

// Beat notes a bare heartbeat. News travels in this server's own reports.
func (a *Agent) Beat(from wire.Identity, at time.Duration) (news bool) {
	if a.isOther(from) {
		a.board.Note(func(s *board.Sight) { s.Heard, s.Inbound = max(s.Heard, at), true })
	}
	return false
}

// Gone notes that the other server's connection has ended.
func (a *Agent) Gone(from wire.Identity) {
	if a.isOther(from) {
		a.board.Note(func(s *board.Sight) { s.Inbound = false })
		a.neighbour.Kick()
	}
}

func (a *Agent) fromServer(kind string) request {
	switch kind {
	case wire.KindReport:
		return a.hear
	case wire.KindLearn:
		return a.learn
	case wire.KindPauseReplay:
		return func(ctx context.Context, _ json.RawMessage) (any, error) { return nil, a.replay.pause(ctx) }
	case wire.KindResumeReplay:
		return func(ctx context.Context, _ json.RawMessage) (any, error) { return nil, a.replay.resume(ctx) }
	case wire.KindRelease:
		return a.release
	case wire.KindResting:
		return a.peerRests
	case wire.KindHolds:
		return a.holds
	case wire.KindHistory:
		return a.history
	case wire.KindHoldings:
		return a.holdings
	case wire.KindFailover:
		return a.setFailover
	case wire.KindInspect:
		return a.inspect
	case wire.KindProgress:
		return a.progress
	case wire.KindPreDetach:
		return a.preDetachHere
	case wire.KindPairFile:
		return a.pairFile
	case wire.KindTelling:
		return a.hearTelling
	case wire.KindWord:
		return a.giveWord
	case wire.KindMoveHere:
		return a.moveHere
	}
	return nil
}

func (a *Agent) hear(_ context.Context, body json.RawMessage) (any, error) {
	var r wire.Report
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	a.board.Note(func(s *board.Sight) {
		s.Report, s.ReportAt, s.Heard, s.Inbound = r, a.clock.Now(), a.clock.Now(), true
		if !a.isOurs(r.Record) {
			// The open primary knows by whose leave it is open.
			s.Learn(r.Record, r.Postgres == wire.ReportOpen && r.Record.Primary == r.Server)
		}
		s.PeerResting, s.PeerFailoverOff = r.Postgres == wire.ReportResting, !r.Failover
	})
	a.saveWord()
	return nil, nil
}

// isOurs tells of a record that nobody but this server can have made: without an arbiter
// only the primary pairs. If it knows less itself, it has lost its record, and perhaps what
// came after this one: its keeper says what is left (arbiter.NewLocal).
func (a *Agent) isOurs(r record.Record) bool {
	return !a.config.Pair.Arbiter.Apart() && r.Primary == a.config.Me() && r.Mode == pair.Paired
}

// saveWord saves whether the other server rests, and whether its failover is off, if that is
// news: what it said last counts when it has fallen silent, after a restart too. A report is
// answered without waiting for the disk, and what could not be saved is tried again with
// the next one.
func (a *Agent) saveWord() {
	s := a.board.Read()
	a.mu.Lock()
	saved := a.wishes.PeerResting == s.PeerResting && a.wishes.PeerFailoverOff == s.PeerFailoverOff
	a.mu.Unlock()
	if saved {
		return
	}
	a.backgroundOnce(&a.savingWord, "save what the other server said last", func(context.Context) error {
		return a.wish(func(w *wishes) {
			s := a.board.Read()
			w.PeerResting, w.PeerFailoverOff = s.PeerResting, s.PeerFailoverOff
		})
	})
}

// learn takes a record that the other server has just got from the keeper. The
// loop goes on at once and has the copy saved in its time.
func (a *Agent) learn(_ context.Context, body json.RawMessage) (any, error) {
	var r record.Record
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if r.Pair != a.config.Pair.Name {
		return nil, fmt.Errorf("record of pair %q told to pair %q", r.Pair, a.config.Pair.Name)
	}
	a.board.Note(func(s *board.Sight) { s.Learn(r, true) })
	return nil, nil
}

// release is a standby's goodbye: it is answered when no commit waits for it any
// more, so that it can stop without a stall.
func (a *Agent) release(ctx context.Context, _ json.RawMessage) (any, error) {
	ctx, cancel := a.clock.Timeout(ctx, releasePatience, nil)
	defer cancel()
	a.board.Note(func(s *board.Sight) { s.Report.Postgres = wire.ReportLeaving })
	for {
		s := a.board.Read()
		decided := board.Mode(s) == decide.Alone && s.Doing != decide.Detach
		switch {
		case decided && !s.SettingsWrong && waitsForNobody(s), s.Task == decide.TaskStop, !s.Names(a.config.Me()):
			return nil, nil
		case decided && a.stuck(s) != "":
			return nil, fmt.Errorf("%w: %s", wire.ErrRefused, a.stuck(s))
		case !decided && !s.KeeperReached:
			return nil, fmt.Errorf("%w: the arbiter at %s is not reached, so %s cannot go on alone and commits would wait", wire.ErrRefused, a.config.Pair.Arbiter.Where(), a.config.Me())
		}
		if clock.Pause(a.clock, ctx, 2*time.Millisecond) != nil {
			return nil, errors.New("the primary could not go alone in time")
		}
	}
}

func (a *Agent) peerRests(context.Context, json.RawMessage) (any, error) {
	a.board.Note(func(s *board.Sight) { s.PeerResting = true })
	return nil, a.wish(func(w *wishes) { w.PeerResting = true })
}

// holds tells whether this standby has the record at a position on its disk, at least its
// beginning: then everything before it is there, and is applied before the standby opens.
// Whoever asks for the room, too, may be about to close: what the I/O probe saw last is not enough.
func (a *Agent) holds(ctx context.Context, body json.RawMessage) (any, error) {
	var q wire.HoldsRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	var received, replayed pair.LSN
	err := a.warm.with(ctx, func(ctx context.Context, s act.Session) (err error) {
		received, replayed, err = s.Applied(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := wire.HoldsAnswer{Holds: max(received, replayed) > q.LSN, Received: received}
	if q.Room && a.world.Room != nil {
		room, err := a.world.Room(ctx)
		if err != nil {
			return nil, fmt.Errorf("see whether there is room to take over: %w", err)
		}
		answer.NoRoom = a.limits.now().NoRoom(room.Spaces, room.Segment)
	}
	return answer, nil
}

// history is given by the open primary only: who rewinds or copies from here
// relies on it (S4). Who asks may want to stream, so its slot is seen to as well; whoever
// holds it, unless the asker does, is a leftover.
func (a *Agent) history(ctx context.Context, body json.RawMessage) (any, error) {
	s := a.board.Read()
	if !s.Names(a.config.Me()) || board.Postgres(s) != decide.PostgresOpen {
		return nil, fmt.Errorf("%s is not the open primary now", a.config.Me())
	}
	var q wire.HistoryRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	offer := a.hands.OfferSlot
	if q.Streams {
		offer = a.hands.EnsureSlot
	}
	if err := offer(ctx); err != nil {
		return nil, err
	}
	session, err := a.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	seen, err := session.Look(ctx, string(a.config.Other()))
	if err != nil {
		return nil, err
	}
	if seen.CheckpointTimeline < seen.Timeline { // the one after the promotion was cut off, and a rewind reads it
		a.background("checkpoint for a rewind", a.checkpoint)
	}
	control, err := a.server.Control()
	if err != nil {
		return nil, err
	}
	forks, err := a.server.History(seen.Timeline)
	if err != nil {
		return nil, err
	}
	answer := wire.HistoryAnswer{Record: promised(a.board.Read()), SystemID: control.SystemID, Timeline: seen.Timeline, CheckpointTimeline: seen.CheckpointTimeline, Insert: seen.Insert}
	for _, f := range forks {
		answer.Forks = append(answer.Forks, wire.Fork{Timeline: f.Timeline, LSN: f.LSN})
	}
	return answer, nil
}

// promised is the record as one must take it who would replace data: it may be paired as soon
// as that was pledged (T2, step 6), and the answer to step 7 may be late, or lost.
func promised(s board.Sight) record.Record {
	if board.Mode(s) != decide.Alone {
		s.Record.Mode = pair.Paired
	}
	return s.Record
}

// checkpoint writes one, unless one that was asked for is under way.
func (a *Agent) checkpoint(ctx context.Context) error {
	if !a.checkpointing.CompareAndSwap(false, true) {
		return nil
	}
	defer a.checkpointing.Store(false)
	session, err := a.server.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.Checkpoint(ctx)
}
