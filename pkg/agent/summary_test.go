package agent

import (
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// The word for the pair on every combination of what it is made of.
func TestSummaryOnEveryState(t *testing.T) {
	seen := map[string]int{}
	both := []bool{false, true}
	for _, known := range both {
		for _, failover := range both {
			for _, switched := range both {
				for _, job := range []*wire.Job{nil, {Final: true}, {}} {
					for _, mode := range []pair.Mode{pair.Alone, pair.Paired} {
						for _, arbiter := range []wire.ArbiterStatus{{Kind: "none"}, {Kind: "witness"}, {Kind: "witness", Reached: true}, {Kind: "witness", Reached: true, Error: withoutRecord}, {Kind: "witness", Reached: true, Error: "it does not hear server2"}} {
							st := wire.Status{Failover: failover, Switched: switched, Job: job, Arbiter: arbiter}
							st.Record.Mode = mode
							everyPair(func(servers []wire.ServerStatus) {
								st.Servers = servers
								word := summary(st, known)
								seen[word]++
								judgeSummary(t, st, known, word)
							})
						}
					}
				}
			}
		}
	}
	for _, word := range []string{wire.SummarySwitchable, wire.SummarySwitching, wire.SummarySwitched, wire.SummaryNotSwitchable, wire.SummaryFailoverDisabled, wire.SummaryUnknown} {
		if seen[word] == 0 {
			t.Errorf("%s is never said", word)
		}
	}
	if len(seen) != 6 {
		t.Errorf("words said: %v", seen)
	}
}

func everyPair(visit func([]wire.ServerStatus)) {
	for _, supervisor := range []string{"here", "quiet", "lost", "refused"} {
		for _, postgres := range []string{wire.ReportOpen, wire.ReportStandby, wire.ReportGated, wire.ReportDown, "hung", ""} {
			for _, disk := range []string{"", "write failed"} {
				s := wire.ServerStatus{Supervisor: supervisor, Postgres: postgres, DiskError: disk}
				primary, standby := s, s
				primary.Role, standby.Role = pair.Primary, pair.Standby
				visit([]wire.ServerStatus{primary, {Role: pair.Standby, Supervisor: "here", Postgres: wire.ReportStandby}})
				visit([]wire.ServerStatus{{Role: pair.Primary, Supervisor: "here", Postgres: wire.ReportOpen}, standby})
			}
		}
	}
}

// judgeSummary holds a word to what monitors take it for.
func judgeSummary(t *testing.T, st wire.Status, known bool, word string) {
	t.Helper()
	underWay := st.Job != nil && !st.Job.Final
	well := st.Servers[0].Postgres == "open" && st.Servers[1].Postgres == "standby"
	for _, s := range st.Servers {
		well = well && s.Supervisor == "here" && s.DiskError == ""
	}
	var right bool
	switch word {
	case wire.SummaryUnknown:
		right = !known
	case wire.SummarySwitching:
		right = known && underWay
	case wire.SummaryFailoverDisabled:
		right = !st.Failover && !underWay
	case wire.SummarySwitchable:
		right = st.Failover && !underWay && well && st.Record.Mode == pair.Paired && (st.Arbiter.Reached || st.Arbiter.Kind == "none") && st.Arbiter.Error != withoutRecord
	case wire.SummarySwitched:
		right = st.Switched && st.Failover && !underWay
	case wire.SummaryNotSwitchable:
		right = !st.Switched && st.Failover && !underWay
	}
	if !right {
		t.Fatalf("%s is said of %+v", word, st)
	}
}
