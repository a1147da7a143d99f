package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// JSON writes the result as one indented object.
func (r *Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the result for people.
func (r *Result) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(head, format string, args ...any) { fmt.Fprintf(t, head+"\t"+format+"\n", args...) }
	line("writes", "%d writers, each every %s, for %s: %d sent, %d acknowledged",
		r.Writers, time.Duration(r.Interval), seconds(r.Length), r.Sent, r.Acked)
	for _, g := range r.Reigns {
		line("answered by", "%s: %d", reignKey{g.Host, g.Timeline}, g.Acks)
	}
	line("longest gap", "%s", r.Longest.words())
	for _, e := range r.Marks {
		line("mark", "%q at %s: longest gap %s, over %s after the mark; in all %s", e.Name, seconds(e.At), e.Gap.Length, e.Back(), e.Total)
	}
	line("latency", "half within %s, 99 %% within %s, 99.9 %% within %s, slowest %s (outside gaps)",
		r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	for _, e := range r.Errors {
		line("errors", "%d × %s: %s (%s)", e.Count, e.Phase, e.Class, strings.Join(strings.Fields(e.Example), " "))
	}
	if c := r.Check; c != nil {
		line("read back", "%d rows from %s: %d lost, %d doubled, %d never sent, %d there though not acknowledged",
			c.Rows, reignKey{c.From, c.Timeline}, c.Lost, c.Doubled, c.Unknown, c.Unacknowledged)
	}
	if r.Left != "" {
		line("left", "rows of run %d: %s", r.Run, r.Left)
	}
	line("verdict", "%s", r.Verdict())
	return t.Flush()
}

// Verdict says in one sentence what matters most.
func (r *Result) Verdict() string {
	switch c := r.Check; {
	case c == nil:
		return "NOT CHECKED, so not known to be safe: " + r.CheckError
	case c.Lost > 0:
		return fmt.Sprintf("%d ACKNOWLEDGED ROWS LOST; the rows of run %d are kept in the table for a look", c.Lost, r.Run)
	case r.Overlap:
		return "TWO SERVERS ACKNOWLEDGED IN TURN: two primaries were open at once"
	case c.Doubled > 0 || c.Unknown > 0:
		return fmt.Sprintf("ROWS THAT NOBODY WROTE; the rows of run %d are kept in the table for a look", r.Run)
	case r.Acked == 0:
		return "nothing was acknowledged; check that the pair has a primary and that the connection string names it"
	case r.SynchronousCommit == "off" || r.SynchronousCommit == "local":
		return "no acknowledged row lost; but synchronous_commit = " + r.SynchronousCommit + " does not wait for the standby"
	default:
		return "no acknowledged row lost"
	}
}

func (g Gap) words() string {
	s := fmt.Sprintf("%s at %s, from %s to %s", g.Length, seconds(g.At), g.From, g.To)
	if g.Open {
		s = fmt.Sprintf("%s at %s, after %s; not over when the run ended", g.Length, seconds(g.At), g.From)
	}
	return s
}

func seconds(m Millis) string { return fmt.Sprintf("%.3f s", time.Duration(m).Seconds()) }
