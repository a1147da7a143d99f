package agent

import (
	"slices"
	"testing"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/check"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/disk"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// deviation is one thing that is not as in a pair which is well, and the word for it in
// docs/mc_ctl.md.
type deviation struct {
	name   string
	word   string
	change func(*Agent, *board.Sight)
}

func seen(change func(*board.Sight)) func(*Agent, *board.Sight) {
	return func(_ *Agent, s *board.Sight) { change(s) }
}

// noRoom is a disk on which room is critical by any setting.
func noRoom() []board.Place {
	return []board.Place{{Path: "/data", Room: disk.Room{Total: 100 << 30}}}
}

// onEither are what both servers can meet.
var onEither = []deviation{
	{"nothing", wire.SummarySwitchable, seen(func(*board.Sight) {})},
	{"no record", wire.SummaryUnknown, seen(func(s *board.Sight) { s.Record, s.Copy = record.Record{}, record.Record{} })},
	{"failover is off here", wire.SummaryFailoverDisabled, seen(func(s *board.Sight) { s.FailoverOff = true })},
	{"failover is off there", wire.SummaryFailoverDisabled, seen(func(s *board.Sight) { s.Report.Failover = false })},
	{"a job is under way", wire.SummarySwitching, func(a *Agent, _ *board.Sight) { a.jobs = a.hands.Jobs }},
	{"the other one is silent", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Link.Connected, s.Heard, s.Started = false, 1, 1 })},
	{"the other one refuses", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Link = wire.LinkState{Refused: true} })},
	{"PostgreSQL is down here", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.PID = 0 })},
	{"PostgreSQL is frozen here", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Hung = true })},
	{"PostgreSQL is down there", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Report.Postgres = wire.ReportDown })},
	{"the disk fails here", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.DiskFailed, s.DiskError = true, "write failed" })},
	{"the disk fails there", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Report.DiskError = "write failed" })},
	{"its files are in the way here", wire.SummaryNotSwitchable, seen(func(s *board.Sight) {
		s.ConfigTrouble, s.ConfigInTheWay = "x.conf:1: syntax error", "x.conf:1: syntax error"
	})},
	{"its files are in the way there", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Report.ConfigInTheWay = "x.conf:1: syntax error" })},
	{"a setting waits for a restart here", wire.SummarySwitchable, seen(func(s *board.Sight) { s.ConfigTrouble = "x.conf:1: port waits for a restart" })},
	{"a setting waits for a restart there", wire.SummarySwitchable, seen(func(s *board.Sight) { s.Report.ConfigTrouble = "x.conf:1: port waits for a restart" })},
	{"a task is under way here", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Task = decide.TaskDetach })},
	{"the arbiter is away", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.KeeperReached = false })},
	{"the arbiter has no record", wire.SummaryNotSwitchable, func(a *Agent, _ *board.Sight) {
		a.keeper = hearingKeeper{Keeper: a.keeper, holds: record.Record{}, hears: true}
	}},
	{"the arbiter takes no writes", wire.SummaryNotSwitchable, func(a *Agent, s *board.Sight) {
		a.keeper = hearingKeeper{Keeper: a.keeper, holds: s.Record, hears: true, problem: "its disk is full"}
	}},
	{"alone", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Record.Mode, s.Copy.Mode = pair.Alone, pair.Alone })},
	{"alone since the roles changed", wire.SummarySwitched, func(a *Agent, s *board.Sight) {
		s.Record.Mode, s.Copy.Mode = pair.Alone, pair.Alone
		a.commands.pairedTerm.Store(uint64(s.Record.Term) - 1)
	}},
}

var onPrimary = append(slices.Clone(onEither), []deviation{
	{"nothing streams", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Look.Peer = nil })},
	{"the standby lags", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Look.Flush = 1 << 40 })},
	{"it switches", wire.SummarySwitching, seen(func(s *board.Sight) { s.Doing = decide.Switch })},
	{"the standby has no room", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Report.DiskLevel = board.LevelCritical })},
	{"this server has no room", wire.SummarySwitchable, seen(func(s *board.Sight) { s.Places = noRoom() })},
	{"the gate is shut", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Gated = true })},
}...)

var onStandby = append(slices.Clone(onEither), []deviation{
	{"nothing streams", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Look.Receiver.Status = "" })},
	{"the primary has no room", wire.SummarySwitchable, seen(func(s *board.Sight) { s.Report.DiskLevel = board.LevelCritical })},
	{"this server has no room", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Places = noRoom() })},
	{"the primary switches", wire.SummarySwitching, seen(func(s *board.Sight) { s.Report.Doing, s.Report.Postgres = string(decide.Switch), wire.ReportBusy })},
	{"the primary's gate is shut", wire.SummaryNotSwitchable, seen(func(s *board.Sight) { s.Report.Postgres = wire.ReportGated })},
	{"the old primary is on its way out", wire.SummarySwitchable, seen(func(s *board.Sight) { s.Doing = decide.Switch })},
}...)

// prominence is the order of the words where several fit (docs/mc_ctl.md).
var prominence = []string{
	wire.SummaryUnknown, wire.SummarySwitching, wire.SummaryFailoverDisabled, wire.SummarySwitched, wire.SummaryNotSwitchable, wire.SummarySwitchable,
}

type exception struct{ one, two, word string }

// exceptions: what a server said that is silent now does not count, and a primary that is
// down goes by no record which the arbiter does not confirm.
var exceptions = []exception{
	{"failover is off there", "the other one is silent", wire.SummaryNotSwitchable},
	{"failover is off there", "the other one refuses", wire.SummaryNotSwitchable},
	{"the primary switches", "the other one is silent", wire.SummaryNotSwitchable},
	{"the primary switches", "the other one refuses", wire.SummaryNotSwitchable},
	{"PostgreSQL is down here", "the arbiter is away", wire.SummaryUnknown},
}

// asStandby is what a server sees that is the standby of the pair.
func asStandby(s board.Sight) board.Sight {
	s.Record.Primary, s.Copy.Primary = "server2", "server2"
	s.Look.Peer, s.Look.InRecovery, s.Look.Receiver.Status = nil, true, "streaming"
	s.Report.Postgres = wire.ReportOpen
	return s
}

// Neither server says that all is well while clients are kept out.
func TestAPairWhosePrimaryIsGatedIsHealthyOnNeitherServer(t *testing.T) {
	for _, gated := range []bool{false, true} {
		a := pairedPrimary(t)
		a.config.Pair.Arbiter.Kind = config.Witness
		a.board.Note(func(s *board.Sight) { s.Gated = gated })
		if a.status().Healthy == gated {
			t.Errorf("gated %v: the primary says healthy: %v", gated, !gated)
		}
		a.board.Note(func(s *board.Sight) {
			*s = asStandby(*s)
			if s.Gated = false; gated {
				s.Report.Postgres = wire.ReportGated
			}
		})
		if st := a.status(); st.Healthy == gated || gated && st.Servers[1].Postgres != wire.ReportGated {
			t.Errorf("gated %v: the standby says healthy: %v, PostgreSQL of server2 %s", gated, st.Healthy, st.Servers[1].Postgres)
		}
	}
}

// The word for the pair, on each server, for all that may not be well with it, by ones and
// twos. It is never said that a switch would be allowed which would be refused.
func TestSummaryOnEveryState(t *testing.T) {
	a := pairedPrimary(t)
	a.config.Pair.Arbiter.Kind = config.Witness
	idle, err := act.LoadJobs(a.store)
	ok(t, err)
	_, err = a.hands.Jobs.Begin("switch", "server1", "server2", a.board.Read().Record)
	ok(t, err)
	primary, keeper := a.board.Read(), a.keeper
	standby := asStandby(primary)
	for _, c := range []struct {
		on         string
		well       board.Sight
		deviations []deviation
	}{{"primary", primary, onPrimary}, {"standby", standby, onStandby}} {
		for _, one := range c.deviations {
			for _, two := range c.deviations {
				a.jobs, a.keeper = idle, keeper
				s := c.well
				s.Heard, s.Started = wire.Now(), wire.Now()
				a.commands.pairedTerm.Store(uint64(s.Record.Term))
				one.change(a, &s)
				two.change(a, &s)
				a.board.Set(func(now *board.Sight) { *now = s })
				word, want := a.status().Summary, prominence[min(slices.Index(prominence, one.word), slices.Index(prominence, two.word))]
				if word != want && !slices.Contains(exceptions, exception{one.name, two.name, word}) && !slices.Contains(exceptions, exception{two.name, one.name, word}) {
					t.Errorf("on the %s, %s and %s: %s, want %s", c.on, one.name, two.name, word, want)
				}
				for _, h := range a.conditions(s) {
					if c.on == "primary" && word == wire.SummarySwitchable && h.State != check.Fine {
						t.Errorf("%s and %s: %s is said, and a switch is refused: %s", one.name, two.name, word, h.Text)
					}
				}
			}
		}
	}
}
