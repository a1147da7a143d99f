package agent

import (
	"sync"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/wire"
)

// telling knows what the other server has been told. A heartbeat carries a report only
// when it says something new: while nothing happens a pair exchanges bare ones, which
// cost neither JSON nor an answer.
type telling struct {
	mu   sync.Mutex
	sent wire.Report
	told wire.Report   // the report that was answered last
	at   time.Duration // when; 0: nothing was, over this connection
	// clock is this machine's unless set.
	clock clock.Clock
}

// due reports whether now must be sent. A report is repeated when it is older than
// refresh: its answer is the sign that the way there and back works, and whatever the
// other side made of earlier ones does not stay wrong.
func (t *telling) due(now wire.Report, refresh time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at > 0 && t.told == now && clock.Or(t.clock).Now()-t.at < refresh-refresh/8 { // ticks come a little late at times
		return false
	}
	t.sent = now
	return true
}

// answered notes that what was sent has arrived.
func (t *telling) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told, t.at = t.sent, clock.Or(t.clock).Now()
}

// forget: the connection has ended. Whoever is there next may know nothing.
func (t *telling) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = 0
}
