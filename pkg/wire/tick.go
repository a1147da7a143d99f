package wire

import "time"

// ToTick is how long it is until the next multiple of every on Now's clock. What is done
// again and again waits for ticks instead of pausing for every: then all of it falls due
// at the same moments, and an idle process wakes up once for it, not once for each. It
// needs no shared timer, so nobody depends on anybody.
//
// A tick that is nearer than an eighth of every is left out: what was done a moment ago,
// out of turn, need not be done again.
func ToTick(every time.Duration) time.Duration { return TickAfter(Now(), every) }

// TickAfter is ToTick for a clock that shows now.
func TickAfter(now, every time.Duration) time.Duration {
	left := every - now%every
	if left < every/8 {
		left += every
	}
	return left
}
