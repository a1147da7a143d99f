package wire

import (
	"testing"
	"time"
)

func TestEverybodyWaitsForTheSameTicks(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ now, every, want time.Duration }{
		{1000 * ms, 250 * ms, 250 * ms},
		{1001 * ms, 250 * ms, 249 * ms},
		{1001 * ms, 1000 * ms, 999 * ms},
		{1200 * ms, 250 * ms, 50 * ms},
		{1240 * ms, 250 * ms, 260 * ms}, // woken a little early, or done out of turn
		{0, 250 * ms, 250 * ms},
		{7, 3, 2},
	} {
		if got := TickAfter(c.now, c.every); got != c.want {
			t.Errorf("at %s, every %s: %s, not %s", c.now, c.every, got, c.want)
		}
	}
	for now := time.Duration(0); now < 10*time.Second; now += 777 * time.Microsecond {
		for _, every := range []time.Duration{ms, 100 * ms, 250 * ms, time.Second} {
			left := TickAfter(now, every)
			if (now+left)%every != 0 || left < every/8 || left > every+every/8 {
				t.Fatalf("at %s, every %s: %s", now, every, left)
			}
		}
	}
}
