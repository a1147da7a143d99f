package board

import (
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// Limits turn ages and distances into classes.
type Limits struct {
	Me               pair.Server
	KeeperMayBeLost  bool // the record is held elsewhere, so being cut off from it means something
	HeartbeatTimeout time.Duration
	IsolationTimeout time.Duration
	CommitStallMax   time.Duration
	AttachMaxLag     uint64
	AttachSettleMax  time.Duration
	// DiskLow and DiskCritical are how little may be free on a disk.
	DiskLow, DiskCritical config.Share
	// FencingDelay is how much longer a standby waits before it fences a silent primary.
	FencingDelay time.Duration
}

// Classify makes facts of a sight at the instant now. It is pure.
func (l Limits) Classify(s Sight, now time.Duration) decide.Facts {
	f := decide.Facts{
		Task:     s.Task,
		Record:   l.record(s, now),
		Mode:     Mode(s),
		Postgres: Postgres(s),
		Data:     data(s),
		Peer:     l.peer(s, now),
		Stream:   l.stream(s),
	}
	f.PeerPG = l.peerPG(s, f.Peer)
	f.Keeper = l.keeper(s, f.Peer, now)
	f.Leave = l.leave(s, f.Peer, now)
	if s.SettingsWrong || s.SettingsStale {
		f.Settings = decide.SettingsWrong
	}
	switch {
	case s.DiskFailed:
		f.Disk = decide.DiskFailed
	case l.filling(s, now):
		f.Disk = decide.DiskFilling
	}
	if f.Mode == decide.Alone && f.Stream == decide.StreamClose && !s.Look.InRecovery {
		f.Stream = l.attachable(s, now)
	}
	if s.Waiting > 0 && now-s.Waiting >= l.CommitStallMax {
		f.Stall = decide.Stalled
	}
	heard := f.Peer == decide.PeerHere || f.Peer == decide.PeerQuiet
	if s.FailoverOff || s.PeerFailoverOff || heard && s.ReportAt > 0 && !s.Report.Failover {
		f.Failover = decide.FailoverOff
	}
	if s.Held || s.Moving {
		f.Attach = decide.AttachHeld
	}
	return f
}

// Next is when the passing of time alone may change a fact next: the soonest age
// that has not reached its limit. It is never longer than longest.
func (l Limits) Next(s Sight, now, longest time.Duration) time.Duration {
	next := longest
	for _, ripe := range []struct{ since, limit time.Duration }{
		{max(s.Heard, s.Started), l.HeartbeatTimeout},
		{max(s.Heard, s.Started), l.IsolationTimeout},
		{max(s.KeeperLost, s.Started), l.IsolationTimeout},
		{max(s.Heard, s.Started), l.HeartbeatTimeout + l.FencingDelay},
		{s.Started, l.HeartbeatTimeout},
		{s.Waiting, l.CommitStallMax},
		{s.Replied, l.replies(s)},
	} {
		if left := ripe.since + ripe.limit - now; ripe.since > 0 && left > 0 {
			next = min(next, left)
		}
	}
	if left := l.Unsteady(s, now); s.Close > 0 && left > 0 {
		next = min(next, left)
	}
	return next
}

// record says how far the newest record known may be relied on. The own copy is
// enough when it says alone (T5), but not before the keeper has had the time to
// answer: an operator may have forced another primary meanwhile (T8). Without an
// arbiter it is the other server that gets the time: this copy may be an old one. While
// PostgreSQL is open already, nothing is done by the own copy alone, neither for
// the service nor against it: a supervisor that was restarted disturbs nobody, and
// a promotion may have come before its copy was saved.
func (l Limits) record(s Sight, now time.Duration) decide.Record {
	open := s.PID != 0 && s.LookAt > 0 && !s.Look.InRecovery
	comesUp := s.PID != 0 && s.LookAt == 0 && data(s) != decide.DataFollower // or is open, and was not looked at yet
	asked := now-s.Started >= l.HeartbeatTimeout
	if l.KeeperMayBeLost {
		asked = asked || s.KeeperReached
	} else { // the own copy is the keeper's, and says nothing of what the other server knows
		asked = asked || s.ReportAt > 0
	}
	aloneByCopy := s.Copy.Mode == pair.Alone && s.Copy.Primary == l.Me && !s.Record.NewerThan(s.Copy)
	switch {
	case !s.Record.Exists():
		return decide.RecordUnread
	case !s.Names(l.Me) && (open || comesUp) && !s.Confirmed:
		return decide.RecordClaimed
	case !s.Names(l.Me):
		return decide.RecordTheirs
	case !l.KeeperMayBeLost && !asked && !open:
		return decide.RecordClaimed
	case s.Confirmed && s.KeeperReached, asked && aloneByCopy, open:
		return decide.RecordMine
	}
	return decide.RecordClaimed
}

// Mode never claims less than was promised: a copy that says paired, made from
// the revision that the keeper still shows as alone, is a promise (T2, step 6).
func Mode(s Sight) decide.Mode {
	switch {
	case s.Record.Mode == pair.Paired:
		return decide.Paired
	case s.Copy.Mode == pair.Paired && s.Copy.Term == s.Record.Term && s.Copy.Revision >= s.Record.Revision:
		return decide.Pledged
	}
	return decide.Alone
}

// Postgres is the state of the local server.
func Postgres(s Sight) decide.Postgres {
	switch {
	case !s.Known:
		return decide.PostgresStarting
	case s.PID == 0:
		return decide.PostgresDown
	case s.Hung:
		return decide.PostgresHung
	case s.LookAt == 0:
		return decide.PostgresStarting
	case s.Look.InRecovery:
		return decide.PostgresStandby
	case s.Gated:
		return decide.PostgresGated
	}
	return decide.PostgresOpen
}

func data(s Sight) decide.Data {
	switch {
	case s.Broken:
		return decide.DataBroken
	case s.Marked || s.Control.State.WasStandby(), !s.Known: // what nobody has looked at is no primary's
		return decide.DataFollower
	case s.Control.State.CleanPrimary() && !s.WillNotStart():
		return decide.DataClean
	}
	return decide.DataCrashed
}

func (l Limits) peer(s Sight, now time.Duration) decide.Peer {
	since := max(s.Heard, s.Started)
	switch {
	case s.Link.Refused && !s.Link.Connected && !s.Inbound:
		return decide.PeerRefused
	case now-since >= l.HeartbeatTimeout:
		return decide.PeerLost
	case s.Link.Connected && s.ReportAt > 0:
		return decide.PeerHere
	}
	return decide.PeerQuiet
}

func (l Limits) peerPG(s Sight, p decide.Peer) decide.PeerPG {
	if p == decide.PeerHere || p == decide.PeerQuiet {
		if s.ReportAt == 0 {
			return decide.PeerPGBusy
		}
		return told(s.Report.Postgres)
	}
	if s.PeerResting && !s.Names(l.Me) {
		return decide.PeerPGResting
	}
	switch s.Port {
	case PortRefused:
		return decide.PeerPGDown
	case PortSilent:
		return decide.PeerPGSilent
	case PortAnswers:
		if s.Names(l.Me) {
			return decide.PeerPGStandby
		}
		return decide.PeerPGOpen
	}
	return decide.PeerPGBusy
}

func told(postgres string) decide.PeerPG {
	switch postgres {
	case wire.ReportStandby:
		return decide.PeerPGStandby
	case wire.ReportOpen, wire.ReportGated:
		return decide.PeerPGOpen
	case wire.ReportDown:
		return decide.PeerPGDown
	case wire.ReportLeaving:
		return decide.PeerPGLeaving
	case wire.ReportResting:
		return decide.PeerPGResting
	}
	return decide.PeerPGBusy
}

// leave lets the primary fence first: when the two have only lost each other, both
// would like to. Of a server that refuses connections the supervisor is dead.
func (l Limits) leave(s Sight, p decide.Peer, now time.Duration) decide.Leave {
	early := now-max(s.Heard, s.Started) < l.HeartbeatTimeout+l.FencingDelay
	if s.Leave == decide.LeaveNeeded && !s.Names(l.Me) && p != decide.PeerRefused && early {
		return decide.LeaveDenied
	}
	return s.Leave
}

func (l Limits) keeper(s Sight, p decide.Peer, now time.Duration) decide.Keeper {
	switch {
	case s.KeeperReached:
		return decide.KeeperReached
	case l.KeeperMayBeLost && p == decide.PeerLost &&
		now-max(s.KeeperLost, s.Started) >= l.IsolationTimeout && now-max(s.Heard, s.Started) >= l.IsolationTimeout && !l.streams(s, now):
		return decide.KeeperIsolated
	}
	return decide.KeeperUnreached
}

func (l Limits) stream(s Sight) decide.Stream {
	switch {
	case s.PID != 0 && s.LookAt == 0 && s.Stranded:
		return decide.StreamStranded
	case s.PID == 0 || s.LookAt == 0:
		return decide.StreamNone
	case s.Look.InRecovery && s.Diverged:
		return decide.StreamDiverged
	case s.Look.InRecovery && s.Stranded:
		return decide.StreamStranded
	case s.Look.InRecovery && s.Look.Receiver.Status == "streaming":
		return decide.StreamClose
	case s.Look.InRecovery || s.Look.Peer == nil || s.Look.Peer.State != "streaming":
		return decide.StreamNone
	case s.Look.Peer.Flush.Behind(s.Look.Flush) > l.AttachMaxLag:
		return decide.StreamBehind
	}
	return decide.StreamClose
}

// attachable is what a stream that is close is worth to a primary that is alone. A standby
// that still streams a former reign's log may hold more of it than this history does:
// then it calls flushed what never was here. Were it in synchronous_standby_names, PostgreSQL
// would keep that position, and let commits below it go without waiting for anybody, also
// after that standby was rewound (SyncRepReleaseWaiters in syncrep.c, 13 to 18).
func (l Limits) attachable(s Sight, now time.Duration) decide.Stream {
	switch {
	case s.Report.Timeline != s.Look.Timeline:
		return decide.StreamBehind
	case l.Unsteady(s, now) > 0:
		return decide.StreamSettling
	}
	return decide.StreamClose
}

// startsPatience is how many starts may fail before PostgreSQL counts as failed: a
// single one may have met the memory of the processes before it.
const startsPatience = 2

// WillNotStart reports that PostgreSQL was started in vain several times.
func (s *Sight) WillNotStart() bool { return s.StartsFailed >= startsPatience }
