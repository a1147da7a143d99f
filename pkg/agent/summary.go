package agent

import (
	"mcctl/pkg/arbiter"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// summary is the pair in one word of Mirroring Controller's. It says switchable only
// when a switch would be allowed now: runbooks and monitors go by this word.
func summary(st wire.Status, recordKnown bool) string {
	switch {
	case !recordKnown:
		return wire.SummaryUnknown
	case st.Job != nil && !st.Job.Final:
		return wire.SummarySwitching
	case !st.Failover:
		return wire.SummaryFailoverDisabled
	case switchable(st):
		return wire.SummarySwitchable
	case st.Switched:
		return wire.SummarySwitched
	}
	return wire.SummaryNotSwitchable
}

func switchable(st wire.Status) bool {
	if st.Record.Mode != pair.Paired || !st.Arbiter.Reached && st.Arbiter.Kind != arbiter.KindNone || st.Arbiter.Error == withoutRecord {
		return false
	}
	for _, s := range st.Servers {
		if !inRole(s) || s.Supervisor != "here" || s.DiskError != "" {
			return false
		}
	}
	return true
}

// inRole tells whether PostgreSQL is what the record says.
func inRole(s wire.ServerStatus) bool {
	return s.Role == pair.Primary && s.Postgres == wire.ReportOpen || s.Role == pair.Standby && s.Postgres == wire.ReportStandby
}
