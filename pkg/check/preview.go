package check

import (
	"fmt"
	"slices"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// What a Hurdle says.
const (
	Fine    = "ok"
	Caution = "warning" // the switch can be made, and this tells what it costs
	Blocker = "blocker" // a switch would fail, or would not be safe
	NotSeen = "unknown" // could not be looked at
)

// Hurdle is one check before a switch.
type Hurdle struct {
	ID        string `json:"id"`
	Value     string `json:"value"`
	Threshold string `json:"threshold"`
	State     string `json:"state"`
	// Text says in a sentence what is in the way, and what to do; empty when nothing is.
	Text string `json:"text,omitempty"`
}

// Preview is what a switch would meet now.
type Preview struct {
	From   pair.Server `json:"from"`
	To     pair.Server `json:"to"`
	Checks []Hurdle    `json:"checks"`
	// InTheWay are the sessions and transactions; nil when they could not be seen.
	InTheWay *postgres.InTheWay `json:"in_the_way,omitempty"`
	// GapMS is how long clients could not write, as far as can be told; Basis says from what.
	GapMS    float64 `json:"gap_ms"`
	GapBasis string  `json:"gap_basis"`
}

// Possible reports that no check blocks the switch.
func (p Preview) Possible() bool { return len(p.in(Blocker)) == 0 }

// Blockers and Warnings are the sentences of the checks in that state.
func (p Preview) Blockers() []string { return p.in(Blocker) }

// Warnings are the sentences of what does not block but costs.
func (p Preview) Warnings() []string { return append(p.in(Caution), p.in(NotSeen)...) }

func (p Preview) in(state string) (texts []string) {
	for _, h := range p.Checks {
		if h.State == state {
			texts = append(texts, h.Text)
		}
	}
	return texts
}

// Way is what was seen for a Preview. What could not be seen is nil.
type Way struct {
	From, To pair.Server
	// Conditions are the supervisor's own, judged by it.
	Conditions []Hurdle
	InTheWay   *postgres.InTheWay
	Primary    *postgres.Progress
	Standby    *postgres.Progress
	Last       *wire.Job // the newest switch known, for its timings
	MaxLag     uint64    // policy.attach_max_lag, bytes
}

const (
	// longTransaction is how old one may be before it is worth a warning.
	longTransaction = 5 * time.Second
	// replayMax is how much log may wait for its replay on the standby without being told:
	// a second or two of work.
	replayMax = 64 << 20
	// archiverPenalty is how long a shutdown takes longer while archiving fails: the
	// archiver tries three times, a second apart (NUM_ARCHIVE_RETRIES, pgarch.c, 13 to 18).
	archiverPenalty = 3 * time.Second
	// usualGap is what an idle pair takes (docs/benchmarks.md).
	usualGap = 400 * time.Millisecond
)

// Before a switch closes, it waits until the standby's replay is no further behind than
// ReplayClose, for ReplayPatience at the most. That is more than a query on the standby may be
// in its way unless configured otherwise: max_standby_streaming_delay is 30 s (13 to 18).
const (
	ReplayClose    = 2 * time.Second
	ReplayPatience = 45 * time.Second
)

// Foresee makes the preview. It is pure.
func Foresee(w Way) Preview {
	p := Preview{From: w.From, To: w.To, InTheWay: w.InTheWay, Checks: slices.Clone(w.Conditions)}
	p.Checks = append(p.Checks, w.replication()...)
	p.Checks = append(p.Checks, w.sessions()...)
	p.Checks = append(p.Checks, w.archive())
	p.GapMS, p.GapBasis = w.gap()
	return p
}

func unseen(id, threshold, what string) Hurdle {
	return Hurdle{id, "-", threshold, NotSeen, what + " could not be looked at"}
}

// judged is a check on a number: over the threshold it is in the given state.
func judged(id string, bad bool, state, value, threshold, text string) Hurdle {
	if bad {
		return Hurdle{id, value, threshold, state, text}
	}
	return Hurdle{ID: id, Value: value, Threshold: threshold, State: Fine}
}

func (w Way) replication() []Hurdle {
	paused, replay, flush := "not paused", "at most "+pair.Size(replayMax), "at most "+pair.Size(w.MaxLag)
	var hurdles []Hurdle
	if w.Standby == nil {
		hurdles = append(hurdles, unseen("replay-paused", paused, "replay of "+string(w.To)))
	} else {
		value := paused
		if w.Standby.ReplayPaused {
			value = "paused"
		}
		hurdles = append(hurdles, judged("replay-paused", w.Standby.ReplayPaused, Blocker, value, paused,
			fmt.Sprintf("replay is paused on %s, so it cannot take over: run there: select pg_wal_replay_resume()", w.To)))
	}
	sender := w.sender()
	if sender == nil {
		return append(hurdles, unseen("flush-lag", flush, "the stream to "+string(w.To)), unseen("replay-lag", replay, "the stream to "+string(w.To)))
	}
	return append(hurdles,
		// Whether it is close enough is the supervisor's condition; this is for people.
		judged("flush-lag", sender.FlushBytes > w.MaxLag, Caution, pair.Size(sender.FlushBytes), flush,
			fmt.Sprintf("%s has yet to receive %s of log; clients would wait for that", w.To, pair.Size(sender.FlushBytes))),
		judged("replay-lag", sender.ReplayBytes > replayMax, Caution, pair.Size(sender.ReplayBytes), replay,
			fmt.Sprintf("%s has %s of log to replay: the switch waits for that while clients work, and fails before it closes anything if it takes longer than %s", w.To, pair.Size(sender.ReplayBytes), ReplayPatience)))
}

func (w Way) sender() *postgres.Outgoing {
	if w.Primary == nil {
		return nil
	}
	for i, s := range w.Primary.Senders {
		if s.Name == string(w.To) {
			return &w.Primary.Senders[i]
		}
	}
	return nil
}

func (w Way) sessions() []Hurdle {
	long, none := "none older than "+longTransaction.String(), "none"
	if w.InTheWay == nil {
		return []Hurdle{
			unseen("long-transactions", long, "transactions"), unseen("prepared-transactions", none, "prepared transactions"),
			unseen("blocked-sessions", none, "blocked sessions"),
		}
	}
	t := w.InTheWay
	n, oldest := 0, 0.0
	for _, a := range t.Transactions {
		if seconds(a.Age) > longTransaction.Seconds() {
			n++
		}
		oldest = max(oldest, seconds(a.Age))
	}
	return []Hurdle{
		judged("long-transactions", n > 0, Caution, fmt.Sprintf("%d, the oldest open for %.0f s", n, oldest), long,
			fmt.Sprintf("%d transactions are open for longer than %s and would be cut off", n, longTransaction)),
		judged("prepared-transactions", len(t.Prepared) > 0, Caution, itoa(len(t.Prepared)), none,
			fmt.Sprintf("%d prepared transactions go over to %s with their locks: end them with COMMIT PREPARED or ROLLBACK PREPARED", len(t.Prepared), w.To)),
		judged("blocked-sessions", t.Waiting > 0, Caution, itoa(t.Waiting), none,
			fmt.Sprintf("%d sessions wait for locks of others; all of them would be cut off", t.Waiting)),
	}
}

func (w Way) archive() Hurdle {
	threshold := fmt.Sprintf("works, at most %d segments wait", backlogMax)
	if w.Primary == nil {
		return unseen("archiver", threshold, "the archiver")
	}
	switch a := w.Primary.Archiver; {
	case !a.On:
		return Hurdle{ID: "archiver", Value: "off", Threshold: threshold, State: Fine}
	case a.Failing:
		return Hurdle{
			"archiver", fmt.Sprintf("failing, %d wait", a.Ready), threshold, Caution,
			fmt.Sprintf("archiving fails: the shutdown tries again for about %s, and the last log of %s is not archived", archiverPenalty, w.From),
		}
	default:
		return judged("archiver", a.Ready > backlogMax, Caution, fmt.Sprintf("%d wait", a.Ready), threshold,
			fmt.Sprintf("%d segments are to be archived, and the shutdown does that first", a.Ready))
	}
}

// gap is what clients would notice: what the last switch took from its closing to
// its end, or what an idle pair takes, and on top what was seen now.
func (w Way) gap() (ms float64, basis string) {
	ms, basis = float64(usualGap.Milliseconds()), "no switch has been measured here: what an idle pair takes"
	if j := w.Last; j != nil && j.Phase == "done" {
		if took := between(j.Steps, "closing", "done"); took > 0 {
			ms, basis = took, fmt.Sprintf("%s took that from closing to its end", j.ID)
		}
	}
	add := func(more float64, why string) {
		if more >= 1 {
			ms += more
			basis += fmt.Sprintf("; and %.0f ms for %s", more, why)
		}
	}
	if s := w.sender(); s != nil && s.ReplayLag != nil && s.ReplayBytes > 0 {
		add(min(*s.ReplayLag, ReplayClose.Seconds())*1000, "the standby's replay, by its lag now; when that is more, it is waited for while clients work")
	}
	if w.Primary != nil && w.Primary.Archiver.On && w.Primary.Archiver.Failing {
		add(float64(archiverPenalty.Milliseconds()), "the failing archiver")
	}
	if t := w.InTheWay; t != nil {
		basis += "; two checkpoints come first, while clients work: " + dirty(t)
	}
	return ms, basis
}

func between(steps []wire.JobStep, from, to string) float64 {
	at := func(phase string) float64 {
		for _, s := range steps {
			if s.Phase == phase {
				return s.AtMS
			}
		}
		return 0
	}
	return at(to) - at(from)
}

// dirty says what the first checkpoint has to write.
func dirty(t *postgres.InTheWay) string {
	if t.Dirty != nil {
		return pair.Size(uint64(*t.Dirty)) + " of buffers are dirty"
	}
	since := uint64(max(t.SinceCheckpoint, 0))
	return fmt.Sprintf("%s of log were written since the last one, %s of buffers can be dirty at most (pg_buffercache would tell how many are)", pair.Size(since), pair.Size(uint64(t.SharedBuffers)))
}
