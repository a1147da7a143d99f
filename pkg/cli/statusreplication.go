package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// writeReplication shows how far each server is, by its own account. The JSON has
// more.
func writeReplication(t table, servers []wire.Replication) {
	if len(servers) == 0 {
		return
	}
	t.row()
	t.row("REPLICATION", "")
	for _, s := range servers {
		var p postgres.Progress
		if s.Error == "" {
			if err := json.Unmarshal(s.Seen, &p); err != nil {
				s.Error = err.Error()
			}
		}
		if s.Error != "" {
			t.row(string(s.Server), "does not tell: "+s.Error)
			continue
		}
		for i, line := range progressLines(p) {
			t.row(yes(i == 0, string(s.Server), " "), line)
		}
	}
}

func progressLines(p postgres.Progress) (lines []string) {
	if p.InRecovery {
		lines = append(lines, receiverLine(p))
		if line := replayLine(p); line != "" {
			lines = append(lines, line)
		}
	} else {
		lines = append(lines, "at "+p.Insert.String())
	}
	for _, o := range p.Senders {
		lines = append(lines, senderLines(o)...)
	}
	for _, s := range p.Slots {
		line := fmt.Sprintf("slot %s: %s, %s, keeps %s", s.Name, yes(s.Active, "in use", "not used"), dash(s.Status), pair.Size(uint64(max(s.Retained, 0))))
		if s.Left != nil {
			line += fmt.Sprintf(", %s until it loses log", pair.Size(uint64(max(*s.Left, 0))))
		}
		lines = append(lines, line)
	}
	if a := p.Archiver; a.On {
		line := fmt.Sprintf("archiver: %d archived, %d wait, %d failures", a.Archived, a.Ready, a.Failed)
		if a.SuccessAge != nil {
			line += fmt.Sprintf("; newest success %s ago", age(a.SuccessAge))
		}
		if a.Failing {
			line += fmt.Sprintf("; FAILING at %s, %s ago", a.LastWAL, age(a.FailureAge))
		}
		lines = append(lines, line)
	}
	return lines
}

// senderLines have neither positions nor lag of who takes a base backup.
func senderLines(o postgres.Outgoing) []string {
	line := fmt.Sprintf("to %s: %s, %s", o.Name, o.State, o.SyncState)
	if o.Sent == 0 {
		return []string{line}
	}
	return []string{
		line + fmt.Sprintf("; sent %s, write %s, flush %s, replay %s", o.Sent, o.Write, o.Flush, o.Replay),
		fmt.Sprintf("  lag sent %s, write %s, flush %s, replay %s",
			pair.Size(o.SentBytes), behind(o.WriteBytes, o.WriteLag), behind(o.FlushBytes, o.FlushLag), behind(o.ReplayBytes, o.ReplayLag)),
	}
}

// behind is a lag in bytes and, where PostgreSQL has measured it, in time.
func behind(bytes uint64, lag *float64) string {
	if lag == nil {
		return pair.Size(bytes)
	}
	return fmt.Sprintf("%s (%.0f ms)", pair.Size(bytes), *lag*1000)
}

func receiverLine(p postgres.Progress) string {
	parts := []string{"receives nothing"}
	if r := p.Receiver; r != nil {
		parts = []string{fmt.Sprintf("%s; primary's end %s", r.Status, r.Told)}
	}
	parts = append(parts, fmt.Sprintf("flushed %s, replayed %s (%s to replay)", p.Flushed, p.Replayed, pair.Size(p.Replayed.Behind(p.Flushed))))
	return strings.Join(parts, "; ")
}

// replayLine is empty where nothing was replayed yet and nothing is the matter.
func replayLine(p postgres.Progress) string {
	var parts []string
	if p.ReplayAge != nil {
		old := max(*p.ReplayAge, 0) // by two clocks
		parts = append(parts, fmt.Sprintf("newest replayed commit %s old", age(&old)))
	}
	if p.ReplayPaused {
		parts = append(parts, "REPLAY PAUSED")
	}
	if c := p.Conflicts; c != nil && c.Sum() > 0 {
		parts = append(parts, fmt.Sprintf("%d queries cancelled by replay", c.Sum()))
	}
	return strings.Join(parts, "; ")
}
