package probe

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

func TestHistogramStaysClose(t *testing.T) {
	for d := time.Microsecond; d < 40*time.Hour; d += d/7 + time.Microsecond {
		var h histogram
		h.add(d)
		h.add(100 * time.Hour) // so that the maximum does not help
		got := h.quantile(.5)
		if off := float64(got-d.Truncate(time.Microsecond)) / float64(d); off < 0 || off > 0.04 {
			t.Fatalf("%s is taken for %s", d, got)
		}
	}
}

func TestTimelineStaysSmall(t *testing.T) {
	line := timeline{step: finestStep}
	const n = 100_000
	for i := range n {
		line.add(time.Duration(i)*100*time.Millisecond, time.Millisecond, i/(n/2))
	}
	total := uint32(0)
	for _, c := range line.cells {
		total += c.acks
	}
	if len(line.cells) > cellsKept || total != n || line.cells[len(line.cells)-1].reign != 1 {
		t.Errorf("%d cells hold %d of %d acknowledgements", len(line.cells), total, n)
	}
}

func TestOnlyTheLongestGapsAreKept(t *testing.T) {
	l := newLedger(time.Now(), Options{Writers: 1, GapMin: time.Millisecond, Interval: time.Millisecond})
	for i := range gapsKept + 500 {
		l.silence(Gap{At: Millis(i) * Millis(time.Hour), Length: Millis(time.Second) + Millis(i)})
	}
	if len(l.gaps) != gapsKept || l.leftOut != 500 || l.gaps[0].Length != Millis(time.Second)+500 {
		t.Errorf("%d gaps kept, %d left out, first %+v", len(l.gaps), l.leftOut, l.gaps[0])
	}
}

func TestAGapBelongsToTheMarksItTouches(t *testing.T) {
	l := newLedger(time.Now(), Options{GapMin: 20 * time.Millisecond})
	const ms = Millis(time.Millisecond)
	l.marks = []Event{{Name: "a", At: 100 * ms}, {Name: "b", At: 200 * ms}, {Name: "c", At: 300 * ms}}
	l.silence(Gap{At: 50 * ms, Length: 30 * ms})   // before all
	l.silence(Gap{At: 150 * ms, Length: 100 * ms}) // from a into b
	l.silence(Gap{At: 260 * ms, Length: 25 * ms})  // in b
	for i, want := range [][2]Millis{{100 * ms, 100 * ms}, {100 * ms, 125 * ms}, {0, 0}} {
		if e := l.marks[i]; e.Gap.Length != want[0] || e.Total != want[1] {
			t.Errorf("%s: longest %s, in all %s; want %s", e.Name, e.Gap.Length, e.Total, want)
		}
	}
}

// A client that is ready waits from then on: for its first answer, and for one that never comes.
func TestSilenceAtTheEdgesOfARunIsAGap(t *testing.T) {
	const ms = time.Millisecond
	began := time.Now().Add(-1000 * ms)
	by := reignKey{host: "one", timeline: 1}
	l := newLedger(began, Options{Writers: 3, GapMin: 20 * ms, Interval: 5 * ms})
	l.ready(0, began.Add(100*ms))
	l.ready(1, began.Add(400*ms))
	l.ready(0, began.Add(500*ms)) // for the second time
	l.acknowledged(1, 1, began.Add(990*ms), by)
	if g := l.longest; g.At != Millis(100*ms) || g.Length < Millis(900*ms) || g.Open || len(l.gaps) != 1 {
		t.Errorf("the first client was ready after 100 ms, the first answer came after 1000 ms: %+v", g)
	}
	if g := l.writers[1].longest; g.At != Millis(400*ms) || g.Length < Millis(600*ms) {
		t.Errorf("the client that was answered was ready after 400 ms: %+v", g)
	}
	if l.calm(ms, 0) {
		t.Error("calm since before the first answer")
	}
	l.close()
	if g := l.writers[0].longest; g.At != Millis(100*ms) || g.Length < Millis(900*ms) || !g.Open {
		t.Errorf("the client that was never answered was ready after 100 ms: %+v", g)
	}
	if len(l.gaps) != 1 || l.writers[1].longest.Open || l.longest.Open {
		t.Errorf("a client was answered just now: %+v", l.gaps)
	}
	if g := l.writers[2].longest; g.At != 0 || !g.Open {
		t.Errorf("the client that was never even ready waited all the time: %+v", g)
	}
}

func TestAClientThatCannotConnectIsReady(t *testing.T) {
	opts := Options{URI: "postgres://127.0.0.1:1/nobody", Writers: 1}
	config, err := opts.config()
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{opts: opts, config: config, ledger: newLedger(time.Now(), opts)}
	before := time.Since(w.ledger.began)
	s := w.connect(t.Context())
	if after := time.Since(w.ledger.began); s != nil || w.ledger.last < before || w.ledger.last >= after || w.ledger.writers[0].last != w.ledger.last {
		t.Errorf("ready at %s, before it connected in vain from %s to %s", w.ledger.last, before, after)
	}
}

// What the caller has done just now shows as a break only when that has lasted.
func TestCalmIsCountedFromWhatTheCallerHasDone(t *testing.T) {
	const s = time.Second
	l := newLedger(time.Now().Add(-10*s), Options{})
	l.last, l.flowing = 20*s, s // ahead, however late this goes on
	for _, c := range []struct {
		name        string
		since, mark time.Duration
		want        bool
	}{
		{"writes have flowed since the call", 5 * s, 0, true},
		{"the call came just now", 20 * s, 0, false},
		{"the mark came just now", 5 * s, 20 * s, false},
		{"the call came before the writes", 0, 0, true},
	} {
		l.marks = []Event{{At: Millis(c.mark)}}
		if got := l.calm(3*s, c.since); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		name   string
		reigns []Reign
		want   bool
	}{
		{"one", []Reign{{First: 1, Last: 9}}, false},
		{"handed over and back", []Reign{{First: 1, Last: 3}, {First: 4, Last: 6}, {First: 7, Last: 9}}, false},
		{"an answer under way during a switch", []Reign{{First: 1, Last: 5}, {First: 6, Last: 9}}, false},
		{"the old one goes on", []Reign{{First: 1, Last: 7}, {First: 6, Last: 9}}, true},
		{"a single late answer of the new one", []Reign{{First: 1, Last: 7}, {First: 6, Last: 5}}, true},
	} {
		if got := overlap(c.reigns); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestEachHostOfARoundHasItsReason(t *testing.T) {
	l := newLedger(time.Now(), Options{})
	for range 3 {
		l.failed("connect", errors.Join(syscall.ECONNREFUSED, errReadOnly))
	}
	if len(l.errors) != 2 || l.errors[0].Class != "connection refused" || l.errors[1].Class != "read-only" || l.errors[1].Count != 3 {
		t.Errorf("three rounds over two hosts: %+v", l.errors)
	}
}
