package board

import (
	"fmt"
	"testing"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// boundary is an age or a distance that Classify compares, and the fact on both sides.
type boundary struct {
	name             string
	limit            int64
	set              func(*Sight, int64)
	fact             func(decide.Facts) fmt.Stringer
	below, at, above fmt.Stringer
}

// try takes it to one below its limit, to the limit, and to one above it.
func (c boundary) try(t *testing.T) {
	for i, want := range []fmt.Stringer{c.below, c.at, c.above} {
		s := serving()
		c.set(&s, c.limit+int64(i)-1)
		if got := c.fact(limits.Classify(s, now)); got != want {
			t.Errorf("at the limit %+d: %s, want %s", i-1, got, want)
		}
	}
}

// TestEachLimit tries every age and distance that Classify compares, but for that of fencing.
func TestEachLimit(t *testing.T) {
	down := func(s *Sight) { s.PID, s.LookAt, s.KeeperReached, s.Confirmed = 0, 0, false, false }
	cut := func(s *Sight) { s.KeeperReached, s.Heard, s.KeeperLost = false, time.Second, time.Second }
	for _, c := range []boundary{
		{
			"peer unheard", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) { s.Heard = now - time.Duration(age) },
			peerFact, decide.PeerHere, decide.PeerLost, decide.PeerLost,
		},
		{
			"peer never heard since the start", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) { s.Heard, s.Started = 0, now-time.Duration(age) },
			peerFact, decide.PeerHere, decide.PeerLost, decide.PeerLost,
		},
		{"own copy says alone, keeper not heard since the start", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) {
			down(s)
			s.Record, s.Copy, s.Started = alone(2), alone(2), now-time.Duration(age)
		}, recordFact, decide.RecordClaimed, decide.RecordMine, decide.RecordMine},
		{
			"own copy says paired: no age is enough", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) { down(s); s.Started = now - time.Duration(age) },
			recordFact, decide.RecordClaimed, decide.RecordClaimed, decide.RecordClaimed,
		},
		{
			"keeper lost, peer lost long ago", int64(limits.IsolationTimeout), func(s *Sight, age int64) { cut(s); s.KeeperLost = now - time.Duration(age) },
			keeperFact, decide.KeeperUnreached, decide.KeeperIsolated, decide.KeeperIsolated,
		},
		{
			"peer lost, keeper lost long ago", int64(limits.IsolationTimeout), func(s *Sight, age int64) { cut(s); s.Heard = now - time.Duration(age) },
			keeperFact, decide.KeeperUnreached, decide.KeeperIsolated, decide.KeeperIsolated,
		},
		{
			"both lost ever since the start", int64(limits.IsolationTimeout), func(s *Sight, age int64) { cut(s); s.Started = now - time.Duration(age) },
			keeperFact, decide.KeeperUnreached, decide.KeeperIsolated, decide.KeeperIsolated,
		},
		{
			"both lost, the standby still replies over its stream", int64(replyEvery + limits.HeartbeatTimeout), func(s *Sight, age int64) { cut(s); s.Replied = now - time.Duration(age) },
			keeperFact, decide.KeeperUnreached, decide.KeeperIsolated, decide.KeeperIsolated,
		},
		{
			"both lost, it replies no more and clients wait", int64(limits.IsolationTimeout), func(s *Sight, age int64) { cut(s); s.Waiting, s.Replied = now, now-time.Duration(age) },
			keeperFact, decide.KeeperUnreached, decide.KeeperIsolated, decide.KeeperIsolated,
		},
		{
			"commits wait", int64(limits.CommitStallMax), func(s *Sight, age int64) { s.Waiting = now - time.Duration(age) },
			func(f decide.Facts) fmt.Stringer { return f.Stall }, decide.NoStall, decide.Stalled, decide.Stalled,
		},
		{
			"standby behind", int64(limits.AttachMaxLag), func(s *Sight, lag int64) { s.Look.Flush = s.Look.Peer.Flush + pair.LSN(lag) },
			func(f decide.Facts) fmt.Stringer { return f.Stream }, decide.StreamClose, decide.StreamClose, decide.StreamBehind,
		},
		{
			"standby ahead of what was seen here", 0, func(s *Sight, ahead int64) { s.Look.Flush = s.Look.Peer.Flush - pair.LSN(ahead+1) },
			func(f decide.Facts) fmt.Stringer { return f.Stream }, decide.StreamClose, decide.StreamClose, decide.StreamClose,
		},
	} {
		t.Run(c.name, c.try)
	}
}

// TestTheStandbyFencesLater: it leaves the primary the delay, but not one whose supervisor is dead.
func TestTheStandbyFencesLater(t *testing.T) {
	toFence := func(s *Sight) { s.Leave, s.Record.Primary = decide.LeaveNeeded, "server2" } // this is the standby
	for _, c := range []boundary{
		{
			"primary silent, and may be fenced", int64(limits.HeartbeatTimeout + limits.FencingDelay), func(s *Sight, age int64) { toFence(s); s.Heard = now - time.Duration(age) },
			leaveFact, decide.LeaveDenied, decide.LeaveNeeded, decide.LeaveNeeded,
		},
		{
			"primary never heard since the start, and may be fenced", int64(limits.HeartbeatTimeout + limits.FencingDelay), func(s *Sight, age int64) { toFence(s); s.Heard, s.Started = 0, now-time.Duration(age) },
			leaveFact, decide.LeaveDenied, decide.LeaveNeeded, decide.LeaveNeeded,
		},
		{
			"standby silent: the primary fences without delay", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) { toFence(s); s.Record.Primary, s.Heard = limits.Me, now-time.Duration(age) },
			leaveFact, decide.LeaveNeeded, decide.LeaveNeeded, decide.LeaveNeeded,
		},
		{
			"primary's supervisor refuses: it is fenced without delay", int64(limits.HeartbeatTimeout), func(s *Sight, age int64) {
				toFence(s)
				s.Link = wire.LinkState{Refused: true}
				s.Heard = now - time.Duration(age)
			},
			leaveFact, decide.LeaveNeeded, decide.LeaveNeeded, decide.LeaveNeeded,
		},
	} {
		t.Run(c.name, c.try)
	}
}

func peerFact(f decide.Facts) fmt.Stringer   { return f.Peer }
func recordFact(f decide.Facts) fmt.Stringer { return f.Record }
func keeperFact(f decide.Facts) fmt.Stringer { return f.Keeper }
func leaveFact(f decide.Facts) fmt.Stringer  { return f.Leave }

// TestTheLoopWakesAtEachAge: just before an age reaches its limit, Next is what is left
// of it; from the limit on it waits for that age no longer. So the loop turns as soon as
// Classify changes its mind, and not for nothing.
func TestTheLoopWakesAtEachAge(t *testing.T) {
	const left, longest = time.Nanosecond, time.Hour
	sight := serving()
	sight.Started, sight.Heard = time.Nanosecond, now // what is not under test is far from its limit, or long past it
	for _, c := range []struct {
		name  string
		limit time.Duration
		set   func(*Sight, time.Duration)
	}{
		{"peer unheard", limits.HeartbeatTimeout, func(s *Sight, age time.Duration) { s.Heard = now - age }},
		{"peer lost, isolated next", limits.IsolationTimeout, func(s *Sight, age time.Duration) { s.Heard = now - age }},
		{"peer silent, fenced next", limits.HeartbeatTimeout + limits.FencingDelay, func(s *Sight, age time.Duration) { s.Heard = now - age }},
		{"keeper lost", limits.IsolationTimeout, func(s *Sight, age time.Duration) { s.KeeperLost = now - age }},
		{"started, and heard since", limits.HeartbeatTimeout, func(s *Sight, age time.Duration) { s.Started = now - age }},
		{"the standby replies no more", replyEvery + limits.HeartbeatTimeout, func(s *Sight, age time.Duration) { s.Replied = now - age }},
		{"commits wait", limits.CommitStallMax, func(s *Sight, age time.Duration) { s.Waiting = now - age }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, past := range []time.Duration{-left, 0, left} {
				s := sight
				c.set(&s, c.limit+past)
				next := limits.Next(s, now, longest)
				if past < 0 && next != left || past >= 0 && next <= left {
					t.Errorf("%s past the limit of %s, the loop wakes in %s", past, c.limit, next)
				}
			}
		})
	}
}

// TestNobodyIsIsolatedFromAKeeperOfItsOwn: without an arbiter being cut off from
// the keeper means nothing.
func TestNobodyIsIsolatedFromAKeeperOfItsOwn(t *testing.T) {
	l := limits
	l.KeeperMayBeLost = false
	s := serving()
	s.KeeperReached, s.Heard, s.KeeperLost, s.Link = false, time.Second, time.Second, wire.LinkState{}
	if got := l.Classify(s, now).Keeper; got != decide.KeeperUnreached {
		t.Errorf("keeper %s", got)
	}
}

// TestStartsInVain: one failed start may have met the memory of the processes before it.
func TestStartsInVain(t *testing.T) {
	for failed, want := range []bool{1: false, startsPatience: true, startsPatience + 1: true} {
		s := Sight{StartsFailed: failed}
		if s.WillNotStart() != want {
			t.Errorf("after %d failed starts: %v", failed, !want)
		}
	}
}
