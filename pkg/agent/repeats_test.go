package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/decide"
)

// virtual is a clock that stands still until it is moved on.
type virtual struct {
	clock.Clock
	now time.Duration
}

func (v *virtual) Now() time.Duration { return v.now }

// An arbiter that refuses for ten minutes is asked some 6000 times, and told of some twenty.
func TestAnActionThatKeepsFailingFillsNoDisk(t *testing.T) {
	a := someAgent(t)
	at := &virtual{Clock: a.clock, now: time.Hour}
	a.clock = at
	var log heardLog
	a.log = logTo(&log)
	a.journal.log = a.log
	var told []Event
	a.journal.tell = func(e Event) { told = append(told, e) }
	tries, counted := 0, 0
	for end := at.now + 10*time.Minute; at.now < end; at.now += urgentRetry {
		tries++
		a.opDone(decide.Detach, fmt.Errorf("read tcp 127.0.0.1:%d: refused", 40000+tries), 2*time.Millisecond)
	}
	if n := len(told); n < 10 || n > 20 {
		t.Errorf("%d events of %d tries", n, tries)
	}
	if n := strings.Count(log.text.String(), "\n"); n != 2*len(told) {
		t.Errorf("%d lines in the log for %d events", n, len(told))
	}
	for _, e := range told {
		counted += max(1, e.Times)
	}
	if counted > tries || counted < tries-int(longestRepeat/urgentRetry) {
		t.Errorf("of %d tries %d are counted", tries, counted)
	}
	if last := told[len(told)-1]; !strings.HasPrefix(last.Text, "detach failed after 2ms, 600 times since it was last told: read tcp 127.0.0.1:4") {
		t.Errorf("the last event says %q", last.Text)
	}
	before := len(told)
	a.opDone(decide.Detach, errors.New("the standby is back"), 0)
	a.opDone(decide.TakeOver, errors.New("refused"), 0)
	a.opDone(decide.Detach, nil, 0)
	a.opDone(decide.Detach, errors.New("read tcp 127.0.0.1:1: refused"), 0)
	if n := len(told) - before; n != 4 {
		t.Errorf("%d of four that are new are told", n)
	}
}

func TestRepeats(t *testing.T) {
	refused, silent := errors.New("refused"), errors.New("no answer")
	for name, c := range map[string]struct {
		tries []repeat
		told  []int
	}{
		"the first":         {[]repeat{{decide.Promote, refused, 0}}, []int{1}},
		"the same":          {[]repeat{{decide.Promote, refused, 0}, {decide.Promote, refused, 1}, {decide.Promote, refused, 10}}, []int{1, 0, 2}},
		"another error":     {[]repeat{{decide.Promote, refused, 0}, {decide.Promote, silent, 1}}, []int{1, 1}},
		"to and fro":        {[]repeat{{decide.Promote, refused, 0}, {decide.Promote, silent, 1}, {decide.Promote, refused, 2}, {decide.Promote, silent, 3}}, []int{1, 1, 0, 0}},
		"another action":    {[]repeat{{decide.Promote, refused, 0}, {decide.Detach, refused, 1}}, []int{1, 1}},
		"done, then anew":   {[]repeat{{decide.Promote, refused, 0}, {decide.Promote, nil, 1}, {decide.Promote, nil, 2}, {decide.Promote, refused, 3}}, []int{1, 1, 1, 1}},
		"after a long time": {[]repeat{{decide.Promote, refused, 0}, {decide.Promote, refused, 1}, {decide.Promote, refused, 7200}}, []int{1, 0, 1}},
		"only numbers":      {[]repeat{{decide.Promote, errors.New("port 17"), 0}, {decide.Promote, errors.New("port 1234"), 1}}, []int{1, 0}},
	} {
		var r repeats
		for i, try := range c.tries { // by tenths of a second
			if times := r.tell(try.action, try.why, time.Hour+try.at*time.Second/10); times != c.told[i] {
				t.Errorf("%s: try %d is told as %d, want %d", name, i, times, c.told[i])
			}
		}
	}
}

type repeat struct {
	action decide.Action
	why    error
	at     time.Duration
}

// What is never the same twice costs no memory without end.
func TestRepeatsOfManyKindsAreBounded(t *testing.T) {
	var r repeats
	for i := range 10000 {
		r.tell(decide.Promote, errors.New(strings.Repeat("x", i)), time.Duration(i)*time.Millisecond)
	}
	if n := len(r.of); n > mostRepeats {
		t.Errorf("%d kinds are kept", n)
	}
}
