package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// writeStatus is the status for people: what matters most comes first, what to do
// about it last.
func writeStatus(w io.Writer, st wire.Status) error {
	t := newTable(w)
	line := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	line("pair", st.Pair+": "+st.Summary+yes(st.Healthy, ", healthy", ""))
	line("record", st.Record.String())
	line("arbiter", arbiterLine(st.Arbiter))
	line("failover", yes(st.Failover, "enabled", "disabled")+yes(st.Held, "; the standby stays detached until mcctl attach", ""))
	if st.Job != nil && st.Job.Phase != phaseDone { // what went well is in events
		line("job", jobLine(*st.Job))
	}
	line("commits", commitsLine(st))
	t.row()
	writeServers(t, st)
	writeReplication(t, st.Replication)
	if len(st.Warnings) > 0 || slices.ContainsFunc(st.Servers, func(s wire.ServerStatus) bool { return s.Discarded != "" }) {
		t.row()
	}
	for _, warning := range st.Warnings {
		line("warning", warning)
	}
	for _, server := range st.Servers {
		line("discarded", server.Discarded)
	}
	if st.NextStep != "" {
		t.row()
		line("next step", st.NextStep)
	}
	return t.Flush()
}

// writeServers ends the table above it (an empty line does), so that each has
// columns of its own.
func writeServers(t table, st wire.Status) {
	t.row("SERVER", "ROLE", "SUPERVISOR", "POSTGRES", "LAG", "RULE")
	for _, s := range st.Servers {
		rule := ""
		if s.Rule != 0 {
			rule = strconv.Itoa(s.Rule) + " " + s.Why
		}
		if s.Doing != "" {
			rule += "; now: " + s.Doing
		}
		t.row(string(s.Server)+yes(s.Server == st.Local, " (here)", ""), string(s.Role), dash(s.Supervisor), dash(s.Postgres), lag(s), dash(rule))
	}
}

// lag is a standby's; a primary has none.
func lag(s wire.ServerStatus) string {
	if s.Role != "standby" || s.LSN == 0 {
		return "-"
	}
	return pair.Size(s.LagBytes) + yes(s.SyncState != "", " "+s.SyncState, "")
}

func arbiterLine(a wire.ArbiterStatus) string {
	text := a.Kind
	if a.Address != "" {
		text += " at " + a.Address
	}
	text += yes(a.Reached, ", reached", ", not reached")
	if a.Error != "" {
		text += ": " + a.Error
	}
	return text
}

func jobLine(j wire.Job) string {
	text := fmt.Sprintf("%s from %s to %s: %s", j.ID, j.From, j.To, j.Phase)
	if j.Error != "" {
		text += ": " + j.Error
	}
	return text
}

// commitsLine is empty as long as no commit ever waited long enough to be seen.
func commitsLine(st wire.Status) string {
	if st.SyncWaiters == 0 && st.WorstStallMS == 0 && st.CancelledWaits == 0 {
		return ""
	}
	cancelled := ""
	if st.CancelledWaits > 0 {
		cancelled = fmt.Sprintf("; %d returned before the standby had them: mcctl events", st.CancelledWaits)
	}
	now := ""
	if st.StallMS > 0 {
		now = fmt.Sprintf(" for %.0f ms", st.StallMS)
	}
	return fmt.Sprintf("%d waiting for the standby%s; longest wait seen %.0f ms%s", st.SyncWaiters, now, st.WorstStallMS, cancelled)
}
