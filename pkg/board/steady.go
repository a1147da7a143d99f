package board

import "time"

// A standby that is lost again and again costs clients a stall each time it was
// attached. So after a few losses in a row it has to be steady for a while first,
// each time twice as long.
const (
	// freeLosses are forgiven: a single fault, or two, shall not delay the way back.
	freeLosses  = 2
	firstSteady = 5 * time.Second
)

// forget is how long nothing must have been lost for a new beginning: longer than a
// standby is waited for.
func (l Limits) forget() time.Duration { return 2 * l.AttachSettleMax }

// Losses counts the times that this primary has gone alone because of a fault.
type Losses struct {
	Count int
	Last  time.Duration // the newest one; 0: none
}

// Lost is what is known after one more.
func (l Limits) Lost(was Losses, now time.Duration) Losses {
	if was.Count > 0 && now-was.Last >= l.forget() {
		was.Count = 0
	}
	return Losses{was.Count + 1, now}
}

// Steady is how long the standby must have streamed before it is attached.
func (l Limits) Steady(lost Losses, now time.Duration) time.Duration {
	if lost.Count <= freeLosses || now-lost.Last >= l.forget() {
		return 0
	}
	wait := firstSteady
	for range lost.Count - freeLosses - 1 {
		if wait *= 2; wait >= l.AttachSettleMax {
			break
		}
	}
	return min(wait, l.AttachSettleMax)
}

// Unsteady is how long the standby has to go on streaming before it is attached; 0
// for not at all.
func (l Limits) Unsteady(s Sight, now time.Duration) time.Duration {
	need := l.Steady(s.Losses, now)
	if need == 0 {
		return 0
	}
	if s.Close == 0 {
		return need
	}
	return max(0, need-(now-s.Close))
}
