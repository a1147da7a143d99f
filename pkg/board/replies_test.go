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

// A walreceiver whose primary refuses it says for a moment that it streams, again and again.
func TestAWalreceiverIsBelievedOnceItWasAnswered(t *testing.T) {
	var s Sight
	for i, look := range []struct {
		what     string
		receiver postgres.Receiver
		after    time.Duration
		streams  bool
	}{
		{"a try", postgres.Receiver{PID: 1, Status: "streaming"}, 0, false},
		{"the next one, long after", postgres.Receiver{PID: 2, Status: "streaming"}, 5 * time.Second, false},
		{"and the next", postgres.Receiver{PID: 3, Status: "streaming"}, 5 * time.Second, false},
		{"the same a moment later", postgres.Receiver{PID: 3, Status: "streaming"}, 100 * time.Millisecond, false},
		{"it has lasted, and nothing is written", postgres.Receiver{PID: 3, Status: "streaming"}, time.Second, true},
		{"another one", postgres.Receiver{PID: 4, Status: "streaming"}, time.Second, false},
		{"it is answered", postgres.Receiver{PID: 4, Status: "streaming", Answered: true}, time.Millisecond, true},
		{"none", postgres.Receiver{}, time.Second, false},
		{"one that is restarted", postgres.Receiver{PID: 5, Status: "restarting"}, time.Second, false},
		{"it tries", postgres.Receiver{PID: 5, Status: "streaming"}, 5 * time.Second, false},
	} {
		s.Saw(postgres.Look{InRecovery: true, Receiver: look.receiver}, s.LookAt+look.after+time.Millisecond)
		if streams := s.Look.Receiver.Status == "streaming"; streams != look.streams {
			t.Errorf("%d: %s: streams %t", i, look.what, streams)
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
