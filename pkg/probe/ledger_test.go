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
