package observe

import (
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

func TestWaitsThatEnd(t *testing.T) {
	var w waits
	now := time.Minute
	turn := func(insert, flush pair.LSN, names string, waiting ...postgres.Waiter) []wait {
		t.Helper()
		now += 250 * time.Millisecond
		seen := postgres.Look{Insert: insert, SyncNames: names, Waiters: waiting}
		if flush != 0 {
			seen.Peer = &postgres.Sender{Flush: flush}
		}
		return w.turn(7, seen, now)
	}
	a, b, again := postgres.Waiter{PID: 1, XID: 10}, postgres.Waiter{PID: 2, XID: 11}, postgres.Waiter{PID: 1, XID: 12}
	if ended := turn(100, 90, "s"); len(ended) != 0 {
		t.Errorf("nobody waited: %+v", ended)
	}
	turn(200, 100, "s", a)
	turn(300, 100, "s", a, b)
	ended := turn(400, 100, "s", b, again) // the same session, another transaction
	if len(ended) != 1 || ended[0] != (wait{a, 90, 200}) {
		t.Errorf("ended: %+v", ended)
	}
	if ended := turn(500, 0, "", b); len(ended) != 0 { // nobody has to wait any more
		t.Errorf("let go: %+v", ended)
	}
	turn(500, 0, "s", b)
	for range 100 { // old positions are forgotten, but never all
		turn(600, 0, "s", b)
	}
	c := postgres.Waiter{PID: 3, XID: 13}
	turn(700, 0, "s", b, c)
	ended = turn(700, 0, "s", b)
	if len(ended) != 1 || ended[0] != (wait{c, 600, 700}) || len(w.marks) > 30 {
		t.Errorf("ended: %+v, %d marks", ended, len(w.marks))
	}
	if ended := w.turn(8, postgres.Look{SyncNames: "s"}, now); len(ended) != 0 {
		t.Errorf("those of another postmaster: %+v", ended)
	}
	w.turn(8, postgres.Look{SyncNames: "s", Waiters: []postgres.Waiter{a}}, now)
	if ended := w.turn(8, postgres.Look{InRecovery: true}, now); len(ended) != 0 {
		t.Errorf("those of a primary that became a standby: %+v", ended)
	}
}
