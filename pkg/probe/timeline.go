package probe

import "time"

const (
	finestStep = 10 * time.Millisecond
	cellsKept  = 4096
)

// timeline is the course of the run for the picture. Its number of cells is
// limited: when they run out, pairs of them are joined and the step doubles.
type timeline struct {
	step  time.Duration
	cells []cell
}

type cell struct {
	acks    uint32
	reign   int32         // place in the list of reigns, of the latest acknowledgement
	slowest time.Duration // latency
}

func (c *cell) join(next cell) {
	if next.acks > 0 {
		c.reign = next.reign
	}
	c.acks += next.acks
	c.slowest = max(c.slowest, next.slowest)
}

func (t *timeline) add(at, latency time.Duration, reign int) {
	for at/t.step >= cellsKept {
		t.cells = joined(t.cells, 2)
		t.step *= 2
	}
	for len(t.cells) <= int(at/t.step) {
		t.cells = append(t.cells, cell{})
	}
	t.cells[at/t.step].join(cell{acks: 1, reign: int32(reign), slowest: latency})
}

// joined makes one cell of every n.
func joined(cells []cell, n int) []cell {
	out := make([]cell, (len(cells)+n-1)/n)
	for i, c := range cells {
		out[i/n].join(c)
	}
	return out
}
