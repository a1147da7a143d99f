package probe

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const gapsKept = 1000 // the longest ones; a stuttering hour must not fill memory

// ledger is what the writers have seen, in the order of acknowledgement. It grows
// by one bit for each key (360 kB in an hour of the default pace), and by little
// for marks and failovers; everything else has a fixed size.
type ledger struct {
	mu       sync.Mutex
	opts     Options
	began    time.Time
	ended    time.Duration // since began, as all durations here; 0 while running
	writers  []track
	last     time.Duration // latest acknowledgement; before the first, when a writer was ready
	lastBy   reignKey
	flowing  time.Duration // since when writes have not been interrupted; 0 before the first acknowledgement
	disturb  time.Duration // end of the latest gap; what was sent before it waited in it
	longest  Gap
	gaps     []Gap
	leftOut  int
	marks    []Event
	reigns   []Reign
	latency  histogram
	timeline timeline
	errors   []ErrorCount
	connects int
	commit   string // synchronous_commit of the sessions
}

// track is the part of one writer.
type track struct {
	sent    uint64
	acked   bitset
	last    time.Duration // as the ledger's
	longest Gap
}

func newLedger(began time.Time, opts Options) *ledger {
	return &ledger{
		opts: opts, began: began, writers: make([]track, opts.Writers), timeline: timeline{step: finestStep},
		gaps: []Gap{}, marks: []Event{}, errors: []ErrorCount{}, reigns: []Reign{}, // JSON shows [] rather than null
	}
}

func (l *ledger) sent(writer int) {
	l.ready(writer, time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writers[writer].sent++
}

// ready notes that a writer has something to send and is not just setting its first
// connection up: from then on silence is a gap, though nothing was acknowledged yet.
func (l *ledger) ready(writer int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, last := range []*time.Duration{&l.last, &l.writers[writer].last} {
		if *last == 0 {
			*last = at.Sub(l.began)
		}
	}
}

// acknowledged notes that a key sent at the given time is safe by the server's
// word. The time of arrival is taken under the lock, which makes it ascend.
func (l *ledger) acknowledged(writer int, seq uint64, sent time.Time, by reignKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, start := time.Since(l.began), sent.Sub(l.began)
	w := &l.writers[writer]
	w.acked.set(seq)
	reign := l.reign(by, start, now)
	if l.ended > 0 {
		return // counted, but its writer was told to stop: its silence is no gap
	}
	l.silence(Gap{At: Millis(l.last), Length: Millis(now - l.last), From: l.lastBy.String(), To: by.String()})
	l.flowing = cmp.Or(l.flowing, now)
	w.silence(Gap{At: Millis(w.last), Length: Millis(now - w.last)})
	l.last, l.lastBy, w.last = now, by, now
	l.timeline.add(now, now-start, reign)
	if start >= l.disturb {
		l.latency.add(now - start)
	}
}

// silence notes the time between two acknowledgements, however short.
func (l *ledger) silence(g Gap) {
	if g.Length > l.longest.Length {
		l.longest = g
	}
	for i := len(l.marks) - 1; i >= 0; i-- {
		if l.marks[i].At < g.end() {
			l.marks[i].count(g, l.opts.GapMin)
		}
		if l.marks[i].At <= g.At {
			break // earlier marks ended where this one began
		}
	}
	if time.Duration(g.Length) >= l.opts.breakMin() {
		l.flowing = time.Duration(g.end())
	}
	if time.Duration(g.Length) < l.opts.GapMin {
		return
	}
	l.disturb = time.Duration(g.end())
	l.gaps = append(l.gaps, g)
	if len(l.gaps) > gapsKept {
		l.leftOut++
		l.gaps = slices.DeleteFunc(l.gaps, shortestOf(l.gaps))
	}
}

func (w *track) silence(g Gap) {
	if g.Length > w.longest.Length {
		w.longest = g
	}
}

// shortestOf matches one gap, the first of the shortest.
func shortestOf(gaps []Gap) func(Gap) bool {
	least := slices.MinFunc(gaps, func(a, b Gap) int { return int(a.Length - b.Length) })
	return func(g Gap) bool { return g == least }
}

func (l *ledger) mark(m Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.At.IsZero() {
		m.At = time.Now()
	}
	e := Event{Name: m.Name, At: Millis(m.At.Sub(l.began))}
	for _, g := range l.gaps { // a mark may be told of late
		if g.end() > e.At {
			e.count(g, l.opts.GapMin)
		}
	}
	l.marks = append(l.marks, e)
}

// close ends the measuring. A silence that lasts until now is a gap too: an
// outage that never ended must not look like a short one.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended > 0 {
		return
	}
	l.ended = time.Since(l.began)
	if open := l.ended - l.last; open >= l.opts.GapMin {
		l.silence(Gap{At: Millis(l.last), Length: Millis(open), From: l.lastBy.String(), To: reignKey{}.String(), Open: true})
	}
	for i := range l.writers {
		w := &l.writers[i]
		if open := l.ended - w.last; open >= l.opts.GapMin {
			w.silence(Gap{At: Millis(w.last), Length: Millis(open), Open: true})
		}
	}
}

// calm: since then, and since the last mark, writes have flowed for d without a break.
func (l *ledger) calm(d, since time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, from := time.Since(l.began), max(l.flowing, since)
	if n := len(l.marks); n > 0 {
		from = max(from, time.Duration(l.marks[n-1].At))
	}
	return l.flowing > 0 && now-l.last < l.opts.breakMin() && now-from >= d
}
