package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/observe"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// keepCopy keeps this server's own copy of the record up to date. What an action
// must have saved at a certain step it saves itself.
func (a *Agent) keepCopy(ctx context.Context) error {
	a.own.KeepRoom()
	for {
		if a.clock.Wait(ctx, copySettles, a.copyDue); ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.saveCopy(); err != nil {
			a.log.Warn("the own copy of the record cannot be saved", "error", err)
			a.clock.Wait(ctx, copyRetry, nil)
		}
	}
}

// copyRetry is the pause after a copy that could not be saved; copySettles that between
// looks whether an action has left one so.
const (
	copyRetry   = time.Second
	copySettles = 5 * time.Second
)

// copyIsDue wakes keepCopy; the loop itself touches no disk. A promotion saves the
// copy itself, at its beginning: every sync of this disk in the middle of it holds up
// PostgreSQL's own.
func (a *Agent) copyIsDue(s board.Sight, rule decide.Rule) {
	if !s.Record.NewerThan(s.Copy) || rule.Do == decide.Promote {
		return
	}
	select {
	case a.copyDue <- struct{}{}:
	default:
	}
}

// saveCopy writes the newest record if the copy is older, or again what could not be written.
func (a *Agent) saveCopy() error {
	s := a.board.Read()
	if !s.Record.NewerThan(s.Copy) {
		return a.own.Settle()
	}
	if err := a.own.Save(s.Record); err != nil && !errors.Is(err, record.ErrConflict) {
		return err
	}
	a.board.Note(func(s *board.Sight) { s.Copy = a.own.Get() })
	return nil
}

// divergencePatience is how long a standby may fail to stream from an open primary
// before the histories are compared.
const divergencePatience = time.Second

// watchDivergence finds out whether this standby holds log that the primary's
// history lacks: then it can never stream. Or it needs log that the primary has not any more.
func (a *Agent) watchDivergence(ctx context.Context) error {
	var since time.Duration
	var at pair.LSN // where it stood when the histories were compared last
	var lacked pair.LSN
	for {
		if err := clock.Pause(a.clock, ctx, wire.TickAfter(a.clock.Now(), divergencePatience)); err != nil {
			return err
		}
		s := a.board.Read()
		if a.startsBesideItsPrimary(s) {
			lacked = a.seeLacking(ctx, s, lacked)
		}
		cut := board.Postgres(s) == decide.PostgresStandby && !s.Names(a.config.Me()) && s.Look.Receiver.Status != "streaming" &&
			s.Link.Connected && s.Report.Postgres == wire.ReportOpen && !s.Diverged && !s.Stranded
		switch {
		case !cut:
			since = 0
		case since == 0:
			since = a.clock.Now()
		case a.clock.Now()-since > divergencePatience:
			a.compareHistories(ctx, s, at)
			since, at = 0, max(s.Look.Received, s.Look.Replayed)
		}
	}
}

func (a *Agent) compareHistories(ctx context.Context, s board.Sight, before pair.LSN) {
	ctx, cancel := a.clock.Timeout(ctx, divergencePatience, nil)
	defer cancel()
	var h wire.HistoryAnswer
	if err := a.link.Call(ctx, wire.KindHistory, wire.HistoryRequest{}, &h); err != nil {
		return
	}
	at := max(s.Look.Received, s.Look.Replayed)
	if control, err := a.server.Control(); err == nil && control.SystemID != h.SystemID {
		a.cannotStream(s, fmt.Sprintf("the data directory %s is of another cluster (%d) than %s's (%d): check data_directory in server.toml", a.config.Server.DataDirectory, control.SystemID, a.config.Other(), h.SystemID), true)
		return
	}
	timeline, err := a.server.TimelineAt(at)
	if err != nil || timeline == 0 {
		return // not to be judged
	}
	own, _ := a.server.History(timeline) // what is not known is not compared
	if board.Contains(h, own, timeline, at) {
		a.cannotStream(s, "this standby does not stream, although the primary has all that it needs: the end of "+a.config.Server.LogFile+" says why", false)
		a.seeStranded(ctx, s, at == before)
		return
	}
	a.log.Warn("this standby holds log that the primary's history lacks", "timeline", timeline, "received", s.Look.Received, "replayed", s.Look.Replayed)
	a.board.Note(func(now *board.Sight) { now.Diverged = now.PID == s.PID })
}

// cannotStream tells the operator why this standby does not stream.
func (a *Agent) cannotStream(s board.Sight, why string, lasting bool) {
	t := board.Trouble{PID: s.PID, Text: why, Lasting: lasting}
	if s.StreamTrouble != t {
		a.log.Warn(why)
		a.board.Note(func(s *board.Sight) { s.StreamTrouble = t })
	}
}

// watchDisk runs the I/O probe as a child: a process that touches a hung disk
// hangs with it, and this one must not.
func (a *Agent) watchDisk(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := a.config.Pair.Timings
	d := observe.Disk{
		Board: a.board, Program: self, Dir: a.config.Server.DataDirectory, Measured: a.config.Dir,
		Every: t.IOProbeInterval.Duration, Timeout: t.IOProbeTimeout.Duration,
	}
	return d.Watch(ctx)
}
