package observe

import (
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

func TestWaitingSince(t *testing.T) {
	const now, earlier = 100 * time.Second, 90 * time.Second
	at := func(flush pair.LSN) *postgres.Sender { return &postgres.Sender{State: "streaming", Flush: flush} }
	catchup := &postgres.Sender{State: "catchup", Flush: 500}
	sight := func(before *postgres.Sender, waiting time.Duration) board.Sight {
		return board.Sight{Look: postgres.Look{Peer: before}, Waiting: waiting}
	}
	streamed := func(waiting time.Duration) board.Sight {
		return board.Sight{Gated: true, Look: postgres.Look{Peer: at(10)}, Waiting: waiting}
	}
	gated := func(waiting time.Duration) board.Sight { return board.Sight{Gated: true, Waiting: waiting} }
	for _, c := range []struct {
		name   string
		before board.Sight
		seen   postgres.Look
		want   time.Duration
	}{
		{"nobody waits", sight(at(10), 0), postgres.Look{Peer: at(10)}, 0},
		{"nobody waits any more", sight(at(10), earlier), postgres.Look{Peer: at(10)}, 0},
		{"commits wait, and the standby stands still", sight(at(10), 0), postgres.Look{SyncWaiters: 1, Peer: at(10)}, now},
		{"it still stands still", sight(at(10), earlier), postgres.Look{SyncWaiters: 2, Peer: at(10)}, earlier},
		{"commits wait, and the standby advances", sight(at(10), 0), postgres.Look{SyncWaiters: 1, Peer: at(11)}, 0},
		{"it advances after a rest", sight(at(10), earlier), postgres.Look{SyncWaiters: 1, Peer: at(11)}, 0},
		{"commits wait, and no standby is there", sight(nil, 0), postgres.Look{SyncWaiters: 1}, now},
		{"the standby has just left", sight(at(10), earlier), postgres.Look{SyncWaiters: 1}, earlier},
		{"it has just come", sight(nil, earlier), postgres.Look{SyncWaiters: 1, Peer: at(10)}, earlier},
		{"gated, and no standby is there", gated(0), postgres.Look{}, now},
		{"gated, and none has come since", gated(earlier), postgres.Look{}, earlier},
		{"gated, and it catches up", gated(earlier), postgres.Look{Peer: catchup}, earlier},
		{"gated, and it streams now", gated(earlier), postgres.Look{Peer: at(10)}, 0},
		{"gated, though it streamed before", streamed(0), postgres.Look{Peer: at(10)}, now},
		{"gated for long, though it streams", streamed(earlier), postgres.Look{Peer: at(10)}, earlier},
		{"gated, and it advances", streamed(earlier), postgres.Look{Peer: at(11)}, 0},
		{"gated, and still in recovery", gated(0), postgres.Look{InRecovery: true}, 0},
	} {
		if got := waitingSince(c.before, c.seen, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
