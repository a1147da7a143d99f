package probe

import (
	"slices"
	"strconv"
	"time"
)

// Millis is a duration that JSON shows in milliseconds, to the microsecond.
// Moments are given as Millis since the start of the run.
type Millis time.Duration

func (m Millis) String() string {
	return strconv.FormatFloat(float64(time.Duration(m).Microseconds())/1000, 'f', 1, 64) + " ms"
}

// MarshalJSON writes a plain number.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Millis) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	*m = Millis(f * float64(time.Millisecond))
	return err
}

// Result is what the clients saw, and what became of it.
type Result struct {
	Run      int64     `json:"run,string"` // tells the rows of this run in the table
	Began    time.Time `json:"began"`
	Length   Millis    `json:"length_ms"`
	Writers  int       `json:"writers"`
	Interval Millis    `json:"interval_ms"`
	Sent     uint64    `json:"sent"`
	Acked    uint64    `json:"acked"`
	Connects int       `json:"connects"`
	// SynchronousCommit is the setting of the sessions, the weakest one seen. With
	// off or local an acknowledgement says nothing about the standby.
	SynchronousCommit string  `json:"synchronous_commit"`
	Longest           Gap     `json:"longest_gap"`        // without any acknowledgement to anyone
	LongestOne        Gap     `json:"longest_gap_writer"` // of the writer that waited longest
	Gaps              []Gap   `json:"gaps"`               // at least Options.GapMin; the 1000 longest
	GapsLeftOut       int     `json:"gaps_left_out,omitempty"`
	Marks             []Event `json:"marks"`
	Latency           Latency `json:"latency"`
	Reigns            []Reign `json:"acked_by"`
	// Overlap: two servers acknowledged in turn, so two primaries were open at once.
	Overlap bool         `json:"overlap"`
	Errors  []ErrorCount `json:"errors"`
	// Check is nil if the rows could not be read back; CheckError tells why.
	Check      *Check `json:"check"`
	CheckError string `json:"check_error,omitempty"`
	Left       string `json:"rows_left,omitempty"` // why the run's rows could not be deleted

	timeline timeline
}

// Gap is a silence between two acknowledgements, before the first or after the last.
type Gap struct {
	At     Millis `json:"at_ms"`
	Length Millis `json:"ms"`
	From   string `json:"from,omitempty"` // who acknowledged last before
	To     string `json:"to,omitempty"`   // and first after
	Open   bool   `json:"open,omitempty"` // still silent when the run ended
}

func (g Gap) end() Millis { return g.At + g.Length }

// Event is a mark and what happened from there to the next mark or to the end.
type Event struct {
	Name  string `json:"name"`
	At    Millis `json:"at_ms"`
	Gap   Gap    `json:"gap"`      // the longest that touches this time
	Total Millis `json:"total_ms"` // all gaps of at least Options.GapMin together
}

// Back is how long after the mark its longest gap ended.
func (e Event) Back() Millis { return e.Gap.end() - e.At }

func (e *Event) count(g Gap, least time.Duration) {
	if g.Length > e.Gap.Length {
		e.Gap = g
	}
	if time.Duration(g.Length) >= least {
		e.Total += g.Length
	}
}

// Latency is of the inserts that were not waiting in a gap.
type Latency struct {
	Count uint64 `json:"count"`
	P50   Millis `json:"p50_ms"`
	P90   Millis `json:"p90_ms"`
	P99   Millis `json:"p99_ms"`
	P999  Millis `json:"p999_ms"`
	Max   Millis `json:"max_ms"`
}

// ErrorCount is a class of failures: PostgreSQL's error code or a word such as
// "timeout". In phase "connect" each host of a round that failed counts as one.
type ErrorCount struct {
	Phase   string `json:"phase"` // "connect" or "insert"
	Class   string `json:"class"`
	Count   int    `json:"count"`
	Example string `json:"example"` // text of the first
}

// Safe is the verdict: the rows were read back, every acknowledged one is there
// once and nothing else, and no two servers acknowledged in turn.
func (r *Result) Safe() bool {
	return r.Check != nil && r.Check.Lost == 0 && r.Check.Doubled == 0 && r.Check.Unknown == 0 && !r.Overlap
}

// Mark is the last event of that name.
func (r *Result) Mark(name string) (Event, bool) {
	for _, e := range slices.Backward(r.Marks) {
		if e.Name == name {
			return e, true
		}
	}
	return Event{}, false
}

// result tells everything but the check. The writers have ended by now.
func (p *Probe) result() *Result {
	l := p.ledger
	r := &Result{
		Run: p.run, Began: l.began, Length: Millis(l.ended), Writers: p.opts.Writers, Interval: Millis(p.opts.Interval),
		Connects: l.connects, SynchronousCommit: l.commit, Longest: l.longest, Gaps: l.gaps, GapsLeftOut: l.leftOut,
		Marks: l.marks, Reigns: l.reigns, Overlap: overlap(l.reigns), Errors: l.errors, timeline: l.timeline,
	}
	for _, w := range l.writers {
		r.Sent += w.sent
		if w.longest.Length > r.LongestOne.Length {
			r.LongestOne = w.longest
		}
	}
	for _, reign := range l.reigns {
		r.Acked += reign.Acks
	}
	h := &l.latency
	q := func(share float64) Millis { return Millis(h.quantile(share)) }
	r.Latency = Latency{Count: h.total, P50: q(.5), P90: q(.9), P99: q(.99), P999: q(.999), Max: Millis(h.max)}
	return r
}
