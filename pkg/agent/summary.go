package agent

import (
	"slices"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// summary is the pair in one word of Mirroring Controller's. It says switchable only
// when a switch would be allowed now: runbooks and monitors go by this word. Of f it goes by
// what the status does not show; refuses is why the arbiter would take no change.
func summary(st wire.Status, f decide.Facts, refuses string) string {
	switch {
	case f.Record == decide.RecordUnread || f.Record == decide.RecordClaimed:
		return wire.SummaryUnknown
	case switching(st):
		return wire.SummarySwitching
	case !st.Failover:
		return wire.SummaryFailoverDisabled
	case switchable(st, f) && refuses == "":
		return wire.SummarySwitchable
	case st.Switched:
		return wire.SummarySwitched
	}
	return wire.SummaryNotSwitchable
}

// switching: the job is known to the server where it began, and what that one does to the
// other too. An old primary that is still on its way out has switched.
func switching(st wire.Status) bool {
	return st.Job != nil && !st.Job.Final || slices.ContainsFunc(st.Servers, func(s wire.ServerStatus) bool {
		return s.Role == pair.Primary && s.Doing == string(decide.Switch)
	})
}

func switchable(st wire.Status, f decide.Facts) bool {
	if st.Record.Mode != pair.Paired || !st.Arbiter.Reached && st.Arbiter.Kind != arbiter.KindNone || st.Arbiter.Error == withoutRecord {
		return false
	}
	for _, s := range st.Servers {
		if !inRole(s) || s.Supervisor != "here" || s.DiskError != "" || s.ConfigInTheWay != "" {
			return false
		}
		if s.Role == pair.Standby && s.DiskLevel == board.LevelCritical {
			return false
		}
	}
	return f.Stream == decide.StreamClose && f.Task == decide.NoTask
}

// inRole tells whether PostgreSQL is what the record says.
func inRole(s wire.ServerStatus) bool {
	return s.Role == pair.Primary && s.Postgres == wire.ReportOpen || s.Role == pair.Standby && s.Postgres == wire.ReportStandby
}
