package board

import (
	"time"

	"mcctl/pkg/postgres"
)

// replyEvery is how often a standby says how far it is although nothing has changed: the
// default of wal_receiver_status_interval (13 to 18).
const replyEvery = 10 * time.Second

// Saw notes a look at PostgreSQL, and whether the standby has replied since the last one.
func (s *Sight) Saw(seen postgres.Look, now time.Duration) {
	before := s.Look.Peer
	if seen.Peer != nil && (before == nil || seen.Peer.PID != before.PID || seen.Peer.Reply != before.Reply) {
		s.Replied = now
	}
	s.Look, s.LookAt = seen, now
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
