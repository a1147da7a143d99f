package board

import (
	"time"

	"mcctl/pkg/postgres"
)

// replyEvery is how often a standby says how far it is although nothing has changed: the
// default of wal_receiver_status_interval (13 to 18).
const replyEvery = 10 * time.Second

// steadyStream is from when on a walreceiver that says that it streams is believed, although
// the primary has sent nothing: one that is refused has ended before.
const steadyStream = time.Second

// Saw notes a look at PostgreSQL, and whether the standby has replied since the last one.
func (s *Sight) Saw(seen postgres.Look, now time.Duration) {
	before := s.Look.Peer
	if seen.Peer != nil && (before == nil || seen.Peer.PID != before.PID || seen.Peer.Reply != before.Reply) {
		s.Replied = now
	}
	s.sawReceiver(&seen.Receiver, now)
	s.Look, s.LookAt = seen, now
}

// sawReceiver counts a walreceiver as none until it does stream. It says so as soon as it is
// connected: one that the primary refuses, because its log is gone or its slot is held, says it
// for a moment at each try (13 to 18). To a primary that writes nothing it may stream for
// long before anything is sent.
func (s *Sight) sawReceiver(r *postgres.Receiver, now time.Duration) {
	if r.Status != "streaming" {
		s.Streaming = 0
		return
	}
	if s.Streaming == 0 || r.PID != s.Look.Receiver.PID {
		s.Streaming = now
	}
	if !r.Answered && now-s.Streaming < steadyStream {
		r.Status = ""
	}
}

// replies is how long this primary counts on a standby that is silent but for its stream:
// less long while clients wait for it.
func (l Limits) replies(s Sight) time.Duration {
	if s.Waiting > 0 {
		return l.IsolationTimeout
	}
	return replyEvery + l.HeartbeatTimeout
}

// streams reports whether the standby was heard over replication, if over nothing else.
// While it replies nobody has taken over: a promotion ends the stream first.
func (l Limits) streams(s Sight, now time.Duration) bool {
	return s.PID != 0 && s.LookAt > 0 && s.Look.Peer != nil && s.Look.Peer.State == "streaming" && now-s.Replied < l.replies(s)
}
