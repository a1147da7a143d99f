package sim

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// traceKept is how many of the last lines a failure shows.
const traceKept = 60

// trace is what happened, a line each. Its hash tells two runs apart.
type trace struct {
	lines []string
	count int
	whole bool
	sum   uint64
}

func (t *trace) add(at time.Duration, who, text string) {
	line := fmt.Sprintf("%12.6f %-10s %s", at.Seconds(), who, text)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%x%s", t.sum, line)
	t.sum = h.Sum64()
	t.count++
	if t.whole {
		fmt.Println(line)
	}
	t.lines = append(t.lines, line)
	if !t.whole && len(t.lines) > 4*traceKept {
		t.lines = append(t.lines[:0], t.lines[len(t.lines)-traceKept:]...)
	}
}

func (t *trace) tail() string {
	lines := t.lines
	if !t.whole && len(lines) > traceKept {
		lines = lines[len(lines)-traceKept:]
	}
	return strings.Join(lines, "\n")
}
