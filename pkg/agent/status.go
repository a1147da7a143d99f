package agent

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/shell"
	"mcctl/pkg/wire"
)

// status is the pair as seen from here.
func (a *Agent) status() wire.Status {
	s := a.board.Read()
	f := a.limits.Classify(s, wire.Now())
	st := wire.Status{
		Pair: a.config.Pair.Name, Local: a.config.Me(), Record: s.Record, Failover: f.Failover == decide.FailoverOn, Held: a.held(s, f),
		LeftDown:       a.isLeftDown(s),
		CancelledWaits: s.CancelledWaits,
		SyncWaiters:    s.Look.SyncWaiters, WorstStallMS: float64(s.WorstWait/time.Microsecond) / 1e3, StallMS: stallMS(s),
		Arbiter: a.keeperStatus(s),
	}
	local, other := a.here(s, f), a.there(s, f)
	st.Servers = []wire.ServerStatus{local, other}
	if local.Server > other.Server {
		st.Servers = []wire.ServerStatus{other, local}
	}
	if job, err := a.jobs.Get(""); err == nil {
		st.Job = &job
	}
	st.Healthy = f.Mode == decide.Paired && f.Peer == decide.PeerHere && f.Failover == decide.FailoverOn && st.Arbiter.Reached && st.Arbiter.Error == "" &&
		inRole(local) && inRole(other) && a.fencing.settled() && f.Stream == decide.StreamClose && !a.heldUntimely(s, f) &&
		local.ConfigInTheWay == "" && other.ConfigInTheWay == ""
	st.Switched = f.Mode == decide.Alone && a.commands.switched(s.Record)
	st.Summary = summary(st, f, a.keeper.Problem())
	st.NextStep, st.Warnings = a.nextStep(s, f), configurationWarnings(st.Servers)
	if a.configRefused.Load() {
		st.Warnings = append(st.Warnings, fmt.Sprintf("pair.toml or server.toml is refused, the one in force stays, and a start would fail: mcctl config check -M %s", shell.Word(a.config.Dir)))
	}
	st.Warnings = append(st.Warnings, a.roomWarnings(s, st)...)
	st.Warnings = append(st.Warnings, differentArbiters(local, other)...)
	return st
}

// held: an operator has detached the standby. The primary's supervisor knows: a server that
// was primary may hold such a wish of long ago.
func (a *Agent) held(s board.Sight, f decide.Facts) bool {
	if s.Names(a.config.Me()) {
		return s.Held
	}
	return f.Peer == decide.PeerHere && s.Names(a.config.Other()) && s.Report.Held
}

// heldUntimely: a supervisor that ends in the middle of a detach leaves the wish that the
// standby stays detached, while it is not.
func (a *Agent) heldUntimely(s board.Sight, f decide.Facts) bool {
	return a.held(s, f) && s.Task != decide.TaskDetach && board.Mode(s) == decide.Paired
}

// isLeftDown: as start --mc-only said. A rebuild starts it.
func (a *Agent) isLeftDown(s board.Sight) bool {
	return a.leftDown.Load() && s.PID == 0 && s.Task == decide.NoTask
}

func stallMS(s board.Sight) float64 {
	if s.Waiting == 0 {
		return 0
	}
	return float64((wire.Now()-s.Waiting)/time.Microsecond) / 1e3
}

func (a *Agent) role(s board.Sight, of pair.Server) pair.Role {
	switch {
	case !s.Record.Exists():
		return pair.RoleUnknown
	case s.Names(of):
		return pair.Primary
	}
	return pair.Standby
}

func (a *Agent) here(s board.Sight, f decide.Facts) wire.ServerStatus {
	r := a.report()
	me := wire.ServerStatus{
		Server: a.config.Me(), Role: a.role(s, a.config.Me()), Supervisor: decide.PeerHere.String(), Postgres: f.Postgres.String(),
		Client: a.config.Endpoint(a.config.Me()).Client, Rule: r.Rule, Why: r.Why, Doing: r.Doing, Version: r.Version, Stream: r.Stream, DiskError: r.DiskError, DiskPart: r.DiskPart, DiskLevel: r.DiskLevel, Disk: r.Disk,
		Discarded: r.Discarded, Arbiter: r.Arbiter, ConfigTrouble: s.ConfigTrouble, ConfigInTheWay: s.ConfigInTheWay,
	}
	position(&me, r)
	if me.Role == pair.Standby && s.ReportAt > 0 {
		me.LagBytes = me.LSN.Behind(s.Report.Insert)
	}
	me.Problem, me.Lasting = a.problem(s)
	return me
}

func (a *Agent) there(s board.Sight, f decide.Facts) wire.ServerStatus {
	r := s.Report
	other := wire.ServerStatus{
		Server: a.config.Other(), Role: a.role(s, a.config.Other()), Supervisor: f.Peer.String(), Postgres: postgresThere(s, f),
		Client: a.config.Endpoint(a.config.Other()).Client, Rule: r.Rule, Why: r.Why, Doing: r.Doing, Version: r.Version, Stream: r.Stream, DiskError: r.DiskError, DiskPart: r.DiskPart, DiskLevel: r.DiskLevel, Disk: r.Disk,
		Discarded: r.Discarded, Arbiter: r.Arbiter, ConfigTrouble: r.ConfigTrouble, ConfigInTheWay: r.ConfigInTheWay,
	}
	position(&other, r)
	if f.Peer != decide.PeerHere { // what it said last is no longer what it does
		other.Rule, other.Why, other.Doing, other.Stream, other.Arbiter = 0, "", "", "", ""
		other.DiskError, other.DiskPart, other.DiskLevel, other.Disk = "", "", "", ""
		other.ConfigTrouble, other.ConfigInTheWay = "", ""
	}
	if p := s.Look.Peer; p != nil {
		other.SyncState, other.LSN, other.Replayed = p.SyncState, p.Flush, p.Replay
		other.LagBytes = p.Flush.Behind(s.Look.Flush)
	}
	return other
}

// postgresThere is the other server's PostgreSQL as clients meet it. For deciding, one
// behind its gate is as good as open.
func postgresThere(s board.Sight, f decide.Facts) string {
	if isGatedThere(s, f) {
		return wire.ReportGated
	}
	return f.PeerPG.String()
}

func isGatedThere(s board.Sight, f decide.Facts) bool {
	heard := f.Peer == decide.PeerHere || f.Peer == decide.PeerQuiet
	return heard && f.PeerPG == decide.PeerPGOpen && s.Report.Postgres == wire.ReportGated
}

func position(to *wire.ServerStatus, r wire.Report) {
	to.Timeline, to.LSN, to.Replayed = r.Timeline, r.Insert, r.Insert
	if r.Postgres == wire.ReportStandby {
		to.LSN, to.Replayed = r.Received, r.Replayed
	}
}

// differentArbiters: a move was cut off, or pair.toml was edited on one server only.
func differentArbiters(local, other wire.ServerStatus) []string {
	if other.Arbiter == "" || other.Arbiter == local.Arbiter {
		return nil
	}
	return []string{fmt.Sprintf("%s goes by the arbiter %s, but %s by %s: repeat mcctl arbiter move", local.Server, local.Arbiter, other.Server, other.Arbiter)}
}

// nextStep is the one thing an operator should look at first.
func (a *Agent) nextStep(s board.Sight, f decide.Facts) string {
	other := a.config.Other()
	problem, _ := a.problem(s)
	vain := a.vain(s)
	switch {
	case problem != "":
		return problem
	case a.stuck(s) != "":
		return a.stuck(s)
	case a.fencing.nextStep(s, f, other) != "":
		return a.fencing.nextStep(s, f, other)
	case f.Record == decide.RecordUnread || f.Record == decide.RecordClaimed:
		return a.unread(s)
	case f.Keeper != decide.KeeperReached && !a.config.Pair.Arbiter.Apart():
		return a.peerAway(s, f)
	case f.Keeper != decide.KeeperReached:
		return fmt.Sprintf("the arbiter at %s is not reached, and until then no role can change: %s", a.config.Pair.Arbiter.Where(), cmp.Or(a.whyNotReached(), "start it there"))
	case f.Record == decide.RecordMine && f.Data == decide.DataBroken && s.PID == 0:
		return fmt.Sprintf("this server is the primary, but its data directory %s is empty or half made: check data_directory in server.toml and whether its file system is mounted; if the data is lost, only what %s has is left", a.config.Server.DataDirectory, other)
	case f.Record == decide.RecordTheirs && f.Data == decide.DataBroken && s.PID == 0 && !slices.Contains(a.config.Policy().Rejoin, config.Rebuild):
		return "the data directory is empty or half made, and " + act.RebuildNotAllowed
	case a.leftDown.Load():
		return "PostgreSQL is left down, as start --mc-only said: start it with pg_ctl, or start the supervisor anew without that option"
	case f.Postgres == decide.PostgresGated && f.Failover == decide.FailoverOff && f.Peer != decide.PeerHere:
		return fmt.Sprintf("clients are kept out until %s has all that this server has, and failover is off: start %s, or go on without it: mcctl detach", other, other)
	case f.Peer != decide.PeerHere:
		return a.peerAway(s, f)
	case vain != "":
		return fmt.Sprintf("the arbiter at %s would let nobody take over: %s; see mcctl status on %s", a.config.Pair.Arbiter.Where(), vain, other)
	case a.hands.Rebuilds.GivenUp() && f.Mode != decide.Paired:
		return "the rebuild was given up: mcctl rebuild, or restart the supervisor to let it decide anew"
	case a.held(s, f):
		return a.heldText(s, f)
	case s.Report.LeftDown:
		return fmt.Sprintf("PostgreSQL of %s is left down, as start --mc-only said: start it there with pg_ctl, or start that supervisor anew without that option", other)
	case s.Report.Problem != "":
		return fmt.Sprintf("on %s: %s", other, s.Report.Problem)
	case f.Failover == decide.FailoverOff:
		return "automatic switch and detach are off: mcctl enable-failover"
	case s.Moving:
		return fmt.Sprintf("the arbiter is being moved: %s is attached again when that is over", other)
	case s.DiskFailed:
		return "the disk of this server fails: " + s.DiskError
	case s.ProbeTrouble != "":
		return s.ProbeTrouble
	case f.Stream == decide.StreamSettling:
		return a.settlingText(s)
	case f.Mode != decide.Paired && s.Report.Doing == "" && s.Doing == "":
		return fmt.Sprintf("not paired yet: see mcctl explain here and on %s", other)
	case s.ConfigInTheWay != "" || s.Report.ConfigInTheWay != "":
		return "put right what the warnings tell of PostgreSQL's configuration files: until then no switch is made, and after a failover commits may hang"
	}
	return a.versions(s, f)
}

// heldText says where the operator's wish is to be taken back.
func (a *Agent) heldText(s board.Sight, f decide.Facts) string {
	standby, attach := a.config.Other(), "mcctl attach"
	if s.Names(standby) {
		standby, attach = a.config.Me(), fmt.Sprintf("on %s: mcctl attach", a.config.Other())
	}
	if a.heldUntimely(s, f) {
		return fmt.Sprintf("a detach was cut off: %s is attached, but would not be again once it is lost: %s", standby, attach)
	}
	return fmt.Sprintf("%s was detached by an operator: %s", standby, attach)
}

// explain gives the deciding rule, the facts, and what kept the rows above from
// matching.
func (a *Agent) explain() wire.Explanation {
	a.mu.Lock()
	rule, facts := a.rule, a.facts
	a.mu.Unlock()
	s := a.board.Read()
	e := wire.Explanation{
		Server: a.config.Me(), Rule: rule.ID, Action: string(rule.Do), Why: rule.Why, Doing: doingText(s),
		NextStep: a.nextStep(s, a.limits.Classify(s, wire.Now())),
	}
	for _, field := range rule.When.Fields(facts) {
		e.Facts = append(e.Facts, wire.Fact{Name: field.Name, Value: field.Value})
	}
	for _, row := range decide.Rules {
		if row.ID == rule.ID {
			break
		}
		e.Above = append(e.Above, missed(row, facts))
	}
	return e
}

func missed(row decide.Rule, facts decide.Facts) wire.Missed {
	m := wire.Missed{Rule: row.ID, Action: string(row.Do)}
	for _, field := range row.When.Fields(facts) {
		if !field.Match {
			m.Fact, m.Value, m.Wants = field.Name, field.Value, field.Wants
			break
		}
	}
	return m
}
