package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since this machine booted (CLOCK_BOOTTIME): it counts suspend and
// never jumps. All instants that are compared with a timeout are taken from it; they
// mean nothing on another machine.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has it since 2.6.39 and the arguments are right: it cannot fail, and
		// going on with a wrong time would be worse.
		panic("wire: read CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
