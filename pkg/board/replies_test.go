package board

import (
	"testing"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/postgres"
)

// TestWhatCountsAsAReply: a standby tells its own clock, which may differ from ours by
// years, so only a change counts.
func TestWhatCountsAsAReply(t *testing.T) {
	sender := func(pid int, reply int64) *postgres.Sender {
		return &postgres.Sender{PID: pid, State: "streaming", Reply: reply}
	}
	var s Sight
	for i, look := range []struct {
		what string
		peer *postgres.Sender
		news bool
	}{
		{"no standby", nil, false},
		{"it has come", sender(1, 7), true},
		{"the same reply", sender(1, 7), false},
		{"another reply, of an earlier clock", sender(1, 3), true},
		{"another stream that has not replied yet", sender(2, 3), true},
		{"gone", nil, false},
	} {
		at := time.Duration(i+1) * time.Second
		s.Saw(postgres.Look{Peer: look.peer}, at)
		if news := s.Replied == at; news != look.news || s.LookAt != at || s.Look.Peer != look.peer {
			t.Errorf("%s: news %v, want %v; %+v", look.what, news, look.news, s)
		}
	}
}

// TestAStreamThatEndedIsNoReply: a standby that is promoted ends its stream, and then the
// primary is cut off at once.
func TestAStreamThatEndedIsNoReply(t *testing.T) {
	for what, end := range map[string]func(*Sight){
		"it has not":         func(*Sight) {},
		"no walsender":       func(s *Sight) { s.Look.Peer = nil },
		"it catches up":      func(s *Sight) { s.Look.Peer.State = "catchup" },
		"PostgreSQL refuses": func(s *Sight) { s.LookAt = 0 },
	} {
		s := serving()
		s.KeeperReached, s.Heard, s.KeeperLost, s.Replied = false, time.Second, time.Second, now
		end(&s)
		want := decide.KeeperIsolated
		if what == "it has not" {
			want = decide.KeeperUnreached
		}
		if got := limits.keeper(s, decide.PeerLost, now); got != want {
			t.Errorf("%s: keeper %s", what, got)
		}
	}
}
