// Package clock is time as the supervisor and the witness meet it: what it is, and
// waiting for it. Those who wait are handed a Clock, so that the simulator (test/sim)
// can put its own in the machine's place and run the same code in virtual time. It
// knows nothing of what is waited for. Called by act, agent, arbiter, observe and witness.
package clock

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is a machine's time.
type Clock interface {
	// Now is the time since the machine booted. It counts suspend and never jumps.
	Now() time.Duration
	// Wait returns when d has passed, when ctx has ended or, sooner, when wake gives
	// something or is closed; that is what it reports. Without a limit d is negative,
	// and a nil wake never gives anything.
	Wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool
	// Timeout is context.WithTimeoutCause by this clock; a nil cause is the usual one.
	Timeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc)
	// After runs do when d has passed, unless stop comes first.
	After(d time.Duration, do func()) (stop func())
	// Mutex makes a lock that may be held while its holder waits by this clock.
	Mutex() sync.Locker
}

// Machine is the clock of this machine.
var Machine Clock = machine{}

// Or is c, or the machine's clock where none was given.
func Or(c Clock) Clock {
	if c == nil {
		return Machine
	}
	return c
}

// Pause waits for d. Its error is why ctx has ended.
func Pause(c Clock, ctx context.Context, d time.Duration) error {
	c.Wait(ctx, d, nil)
	return context.Cause(ctx)
}

type machine struct{}

func (machine) Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has it since 2.6.39 and the arguments are right: it cannot fail, and
		// going on with a wrong time would be worse.
		panic("clock: read CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

func (machine) Wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	var over <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-wake:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

func (machine) Timeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, cause)
}

func (machine) After(d time.Duration, do func()) func() {
	t := time.AfterFunc(d, do)
	return func() { t.Stop() }
}

func (machine) Mutex() sync.Locker { return &sync.Mutex{} }
