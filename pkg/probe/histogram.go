package probe

import (
	"math/bits"
	"time"
)

// histogram counts durations in steps of about three per cent, from a microsecond
// to a few days: 32 steps for every doubling.
type histogram struct {
	counts [1280]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	us := uint64(max(d, 0).Microseconds())
	i := int(us)
	if us >= 32 {
		e := bits.Len64(us) - 6
		i = e*32 + int(us>>e)
	}
	h.counts[min(i, len(h.counts)-1)]++
	h.total++
	h.max = max(h.max, d)
}

// quantile is the duration that the share q of all does not exceed; 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	want, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= want {
			return min(ceiling(i), h.max)
		}
	}
	return h.max
}

// ceiling is the longest duration of step i.
func ceiling(i int) time.Duration {
	if i < 32 {
		return time.Duration(i) * time.Microsecond
	}
	e := i/32 - 1
	return time.Duration(uint64(i-e*32+1)<<e-1) * time.Microsecond
}
