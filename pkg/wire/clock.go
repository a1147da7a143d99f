package wire

import (
	"time"

	"mcctl/pkg/clock"
)

// Now is the time since this machine booted (CLOCK_BOOTTIME): it counts suspend and
// never jumps. All instants that are compared with a timeout are taken from it; they
// mean nothing on another machine.
func Now() time.Duration { return clock.Machine.Now() }
