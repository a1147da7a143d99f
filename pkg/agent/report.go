package agent

import (
	"fmt"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// report is what the other supervisor is told; see telling for when.
func (a *Agent) report() wire.Report {
	s := a.board.Read()
	r := a.essence(s)
	r.Insert, r.Received, r.Replayed = s.Look.Insert, s.Look.Received, s.Look.Replayed
	fullest, _ := a.limits.now().Fullest(s.Places)
	r.Disk = fullest.Describe()
	problem, _ := a.problem(s) // it tells the seconds until the next attempt: no news
	r.Problem = brief(problem)
	return r
}

// essence is what makes a report worth sending before its time: positions may wait.
func (a *Agent) essence(s board.Sight) wire.Report {
	a.mu.Lock()
	rule := a.rule
	a.mu.Unlock()
	r := wire.Report{
		Server: a.config.Me(), Record: saidRecord(s), Copy: s.Copy, Postgres: a.postgresWord(s),
		Timeline: s.Look.Timeline, CheckpointTimeline: s.Look.CheckpointTimeline,
		Stream: s.Look.Receiver.Status, Failover: !s.FailoverOff, Held: s.Held, LeftDown: a.isLeftDown(s),
		Rule: rule.ID, Why: rule.Why, Doing: doingText(s), Version: a.opt.Version, DiskError: s.DiskError, DiskPart: s.DiskPart,
		Discarded: s.Discarded, Arbiter: a.config.Pair.Arbiter.String(),
		ConfigTrouble: brief(s.ConfigTrouble), ConfigInTheWay: brief(s.ConfigInTheWay),
	}
	_, r.DiskLevel = a.limits.now().Fullest(s.Places)
	return r
}

// saidRecord is the record for the other server's ears: a new reign only when it is
// on this disk. Hearsay that its source may forget in a crash could outlive, on the
// other server, a keeper that has lost its records and found the old reign again.
func saidRecord(s board.Sight) record.Record {
	if s.Record.Term != s.Copy.Term {
		return s.Copy
	}
	return s.Record
}

func doingText(s board.Sight) string {
	if s.Progress != "" {
		return fmt.Sprintf("%s: %s", s.Doing, s.Progress)
	}
	return string(s.Doing)
}

// postgresWord says what the other server may conclude. "down" allows it to act;
// what merely starts or is being put back says "busy". So does what is being switched:
// while it closes it answers nobody. But a disk that fails meanwhile has failed.
func (a *Agent) postgresWord(s board.Sight) string {
	mine := s.Names(a.config.Me())
	state := board.Postgres(s)
	switch {
	case s.Task == decide.TaskStop && mine:
		return wire.ReportResting
	case s.Task == decide.TaskStop, s.TakesLeave && !mine:
		return wire.ReportLeaving
	case s.Task == decide.TaskRebuild && !mine && board.Mode(s) != decide.Alone:
		return wire.ReportLeaving // so that the primary goes alone before PostgreSQL stops
	case s.Task == decide.TaskRebuild && !mine || s.Doing == decide.Rebuild:
		return wire.ReportBusy
	case !s.Known || s.Doing == decide.Rejoin || s.Doing == decide.Switch && !s.DiskFailed:
		return wire.ReportBusy
	case state == decide.PostgresHung || s.DiskFailed:
		return wire.ReportDown
	case state == decide.PostgresStarting && clock.Or(a.clock).Now()-s.Started < a.limits.now().HeartbeatTimeout:
		// A supervisor that has just started has not looked yet at a PostgreSQL that runs
		// already. Were it called down, the primary would detach a standby that is well.
		return wire.ReportBusy
	case state == decide.PostgresStandby:
		return wire.ReportStandby
	case state == decide.PostgresOpen && mine:
		return wire.ReportOpen
	case state == decide.PostgresGated && mine:
		return wire.ReportGated
	case mine && (s.RunsUnseen() || state == decide.PostgresStarting || s.Control.State.CleanPrimary() && !s.WillNotStart() || s.Control.State.WasStandby()):
		return wire.ReportBusy
	}
	return wire.ReportDown
}

func (a *Agent) witnessReport() wire.WitnessReport {
	s := a.board.Read()
	word := "up"
	if a.postgresWord(s) == wire.ReportDown {
		word = "down"
	}
	// What it knows, not what is on its disk: it may have acted upon it already.
	return wire.WitnessReport{Postgres: word, Known: s.Record, TimeoutMS: a.config.Timings().HeartbeatTimeout.Milliseconds()}
}

// peerRecord is the record as the other server tells it (arbiter kind none).
func (a *Agent) peerRecord() (record.Record, bool) {
	s := a.board.Read()
	return s.Report.Record, s.ReportAt > 0 && s.Link.Connected
}
