package decide

// Action is the one thing to do next. Package act knows how.
type Action string

const (
	Wait         Action = "wait"
	Stop         Action = "stop"
	Retire       Action = "retire"
	Restart      Action = "restart"
	StartOpen    Action = "start-open"
	StartGated   Action = "start-gated"
	StartStandby Action = "start-standby"
	OpenGate     Action = "open-gate"
	Close        Action = "close"
	Detach       Action = "detach"
	Attach       Action = "attach"
	TakeOver     Action = "take-over"
	HandOver     Action = "hand-over"
	Switch       Action = "switch"
	Promote      Action = "promote"
	Rejoin       Action = "rejoin"
	Rebuild      Action = "rebuild"
	PutRight     Action = "put-right"
	Fence        Action = "fence"
)

// Rule is a row of the table. A field of When that is left out means any.
type Rule struct {
	ID   int
	When When
	Do   Action
	// By is the transition of docs/protocol.md that the action performs, if any.
	By string
	// Why completes "because": one sentence, shown in logs, status and docs.
	Why string
}

// Switchable is what a switch needs until this server begins to close: from then on its
// PostgreSQL is not what it was. Room and an operator may begin one; neither ends it.
var Switchable = When{Record: is(RecordMine), Mode: is(Paired), Keeper: is(KeeperReached), Postgres: is(PostgresOpen), Disk: is(DiskFine, DiskFilling), Peer: is(PeerHere), PeerPG: is(PeerPGStandby), Stream: is(StreamBehind, StreamClose), Stall: is(NoStall)}

// Rules is the whole policy. The first row that matches decides. Numbers leave
// gaps and are never given to another rule: logs, journals and bug reports name
// them. 1xx: any server; 2xx: the record names this server; 3xx: it names the other.
var Rules = []Rule{
	{101, When{Task: is(TaskStop)}, Stop, "", "an operator asked this server to stop"},
	{105, When{Record: is(RecordClaimed), Postgres: is(PostgresDown), Data: is(DataClean, DataCrashed), Peer: is(PeerHere), PeerPG: is(PeerPGStandby)}, StartGated, "T6", "the keeper does not answer, but the standby is here: behind the gate nobody sees anything, and it opens only when the standby streams from here"},
	{110, When{Record: is(RecordUnread, RecordClaimed)}, Wait, "T6", "nobody has confirmed yet whom the record names, and the own copy alone may be out of date"},

	{201, When{Record: is(RecordMine), Mode: is(Alone), Postgres: is(PostgresStandby)}, Promote, "T3", "the record names this server and its PostgreSQL is still in recovery"},
	{203, When{Record: is(RecordMine), Postgres: is(PostgresStandby), Keeper: is(KeeperReached), Leave: is(LeaveGiven)}, Detach, "T1", "the record names this server, yet its PostgreSQL was made a standby behind our back: go alone, then promote"},
	{204, When{Record: is(RecordMine), Postgres: is(PostgresStandby), Keeper: is(KeeperReached), Peer: is(PeerHere), Leave: is(LeaveNeeded, LeaveDenied)}, Detach, "T1", "the same, and the standby's supervisor is here to give its word"},

	{205, When{Task: is(TaskSwitch), Record: is(RecordMine), Mode: is(Paired), Postgres: is(PostgresDown, PostgresStarting, PostgresStandby, PostgresGated, PostgresOpen), Disk: is(DiskFine, DiskFilling), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby), Stall: is(NoStall)}, Switch, "T4", "an operator asked for a switch"},

	{210, When{Record: is(RecordMine), Mode: is(Paired), Disk: is(DiskFailed), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby)}, HandOver, "T4", "this server's disk fails and the standby holds everything"},
	{212, When{Record: is(RecordMine), Mode: is(Paired), Postgres: is(PostgresHung), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby)}, HandOver, "T4", "PostgreSQL no longer answers here and the standby holds everything"},
	{214, When{Record: is(RecordMine), Postgres: is(PostgresHung), Failover: is(FailoverOn)}, Restart, "", "PostgreSQL no longer answers and nobody can take over"},
	{216, When{Record: is(RecordMine), Mode: is(Paired), Postgres: is(PostgresDown), Data: is(DataCrashed), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby)}, HandOver, "T4", "PostgreSQL died here and the standby holds everything"},
	{218, When{Record: is(RecordMine), Mode: is(Paired), Postgres: is(PostgresOpen), Disk: is(DiskFilling), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby), Stream: is(StreamClose), Stall: is(NoStall)}, Switch, "T4", "a disk of this server is nearly full and the standby has more room"},

	{219, When{Record: is(RecordMine), Mode: is(Paired), Postgres: is(PostgresDown), Data: is(DataBroken), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby)}, HandOver, "T4", "the data directory here is empty or half made and the standby holds everything"},
	{220, When{Record: is(RecordMine), Postgres: is(PostgresDown), Data: is(DataBroken)}, Wait, "", "the record names this server, but its data directory is empty or half made: an operator must decide"},
	{222, When{Record: is(RecordMine), Postgres: is(PostgresDown), Data: is(DataFollower)}, StartStandby, "T3", "the record names this server and its data was last a standby: start it so, then promote"},
	{224, When{Record: is(RecordMine), Mode: is(Alone), Postgres: is(PostgresDown)}, StartOpen, "T5", "the own copy says alone: nobody else may have promoted"},
	{225, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresDown), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused, PeerLost), PeerPG: is(PeerPGDown, PeerPGSilent), Leave: is(LeaveNeeded)}, Fence, "T1", "PostgreSQL is down here and the standby is gone: fence it, then go alone before opening"},
	{226, When{Record: is(RecordMine), Postgres: is(PostgresDown), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused, PeerLost), PeerPG: is(PeerPGDown, PeerPGSilent), Leave: is(LeaveGiven)}, Detach, "T1", "PostgreSQL is down here and the standby is gone: go alone before opening"},
	{228, When{Record: is(RecordMine), Postgres: is(PostgresDown)}, StartGated, "T6", "paired: commits that were waiting become visible at the start, so clients come in only after the standby has them"},

	{230, When{Record: is(RecordMine), Mode: is(Alone), Postgres: is(PostgresGated)}, OpenGate, "T5", "alone: nothing to wait for"},
	{240, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen), Keeper: is(KeeperIsolated)}, Close, "", "cut off from standby and arbiter: the standby may have taken over, and reads would grow stale"},

	{246, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused), PeerPG: is(PeerPGDown), Leave: is(LeaveNeeded)}, Fence, "T1", "on the standby's server both processes refuse connections: fence it, then go alone"},
	{247, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerLost), PeerPG: is(PeerPGSilent, PeerPGDown), Leave: is(LeaveNeeded)}, Fence, "T1", "the standby's server is silent: fence it, then go alone"},
	{248, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerQuiet, PeerLost, PeerRefused), Stall: is(Stalled), Leave: is(LeaveNeeded)}, Fence, "T1", "clients wait for a standby whose supervisor cannot give its word: fence it, then go alone"},

	{250, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Keeper: is(KeeperReached), PeerPG: is(PeerPGLeaving)}, Detach, "T1", "the standby says goodbye"},
	{251, When{Task: is(TaskDetach), Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Keeper: is(KeeperReached)}, Detach, "T1", "an operator asked to detach the standby"},
	{252, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused), PeerPG: is(PeerPGDown), Leave: is(LeaveGiven)}, Detach, "T1", "on the standby's server both processes refuse connections: they are dead"},
	{253, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGDown)}, Detach, "T1", "the standby's supervisor says that its PostgreSQL is down"},
	{254, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerLost), PeerPG: is(PeerPGSilent, PeerPGDown), Leave: is(LeaveGiven)}, Detach, "T1", "the standby's server is silent"},
	{255, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), Stall: is(Stalled), Leave: is(LeaveNeeded, LeaveDenied)}, Detach, "T1", "clients have waited longer than commit_stall_max, and the standby's supervisor is here to give its word"},
	{256, When{Record: is(RecordMine), Mode: is(Pledged, Paired), Postgres: is(PostgresOpen, PostgresGated), Failover: is(FailoverOn), Keeper: is(KeeperReached), Stall: is(Stalled), Leave: is(LeaveGiven)}, Detach, "T1", "clients have waited for the standby longer than commit_stall_max"},
	{258, When{Record: is(RecordMine), Postgres: is(PostgresGated), Stream: is(StreamClose)}, OpenGate, "T6", "the standby streams again: open when it has everything"},

	{260, When{Record: is(RecordMine), Postgres: is(PostgresOpen, PostgresGated), Settings: is(SettingsWrong)}, PutRight, "", "the managed settings do not fit a primary in this mode"},
	{262, When{Record: is(RecordMine), Mode: is(Alone, Pledged), Postgres: is(PostgresOpen), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGStandby), Stream: is(StreamClose), Attach: is(AttachAllowed)}, Attach, "T2", "the standby streams and is close"},
	{290, When{Record: is(RecordMine)}, Wait, "", "this server is primary and nothing needs to change"},

	{301, When{Record: is(RecordTheirs), Postgres: is(PostgresOpen, PostgresGated)}, Retire, "T7", "the record names the other server: this one must not stay open"},
	{302, When{Record: is(RecordTheirs), Postgres: is(PostgresStarting), Data: is(DataClean, DataCrashed)}, Retire, "T7", "the record names the other server, and the PostgreSQL that starts here would come up as a primary"},
	{303, When{Record: is(RecordTheirs), Postgres: is(PostgresHung)}, Restart, "", "PostgreSQL no longer answers"},
	{307, When{Task: is(TaskRebuild), Record: is(RecordTheirs), Mode: is(Alone), Keeper: is(KeeperReached), Postgres: is(PostgresDown, PostgresStarting, PostgresStandby), Peer: is(PeerHere), PeerPG: is(PeerPGOpen)}, Rebuild, "T7", "an operator asked for this standby to be made anew"},
	{308, When{Record: is(RecordTheirs), Mode: is(Paired), Postgres: is(PostgresStandby), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused), PeerPG: is(PeerPGDown), Leave: is(LeaveNeeded)}, Fence, "T3", "on the primary's server both processes refuse connections: ask the arbitration command, and fence it"},
	{309, When{Record: is(RecordTheirs), Mode: is(Paired), Postgres: is(PostgresStandby), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerLost), PeerPG: is(PeerPGSilent, PeerPGDown), Leave: is(LeaveNeeded)}, Fence, "T3", "the primary's server is silent: ask the arbitration command, and fence it"},
	{310, When{Record: is(RecordTheirs), Mode: is(Paired), Postgres: is(PostgresStandby), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerRefused), PeerPG: is(PeerPGDown), Leave: is(LeaveGiven)}, TakeOver, "T3", "on the primary's server both processes refuse connections: they are dead"},
	{311, When{Record: is(RecordTheirs), Mode: is(Paired), Postgres: is(PostgresStandby), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerHere), PeerPG: is(PeerPGDown), Leave: is(LeaveGiven)}, TakeOver, "T3", "the primary's supervisor says that its PostgreSQL failed"},
	{312, When{Record: is(RecordTheirs), Mode: is(Paired), Postgres: is(PostgresStandby), Failover: is(FailoverOn), Keeper: is(KeeperReached), Peer: is(PeerLost), PeerPG: is(PeerPGSilent, PeerPGDown), Leave: is(LeaveGiven)}, TakeOver, "T3", "the primary's server is silent"},
	{313, When{Record: is(RecordTheirs), Postgres: is(PostgresDown), Disk: is(DiskFailed)}, Wait, "", "a disk of this server fails: nothing is begun on it until it works again"},
	{314, When{Record: is(RecordTheirs), Postgres: is(PostgresDown), Data: is(DataFollower)}, StartStandby, "T7", "a standby follows the primary"},
	{316, When{Record: is(RecordTheirs), Mode: is(Alone), Keeper: is(KeeperReached), Postgres: is(PostgresDown), Peer: is(PeerHere), PeerPG: is(PeerPGOpen)}, Rejoin, "T7", "the other server took over: come back as its standby"},
	{318, When{Record: is(RecordTheirs), Mode: is(Alone), Keeper: is(KeeperReached), Postgres: is(PostgresStandby), Peer: is(PeerHere), PeerPG: is(PeerPGOpen), Stream: is(StreamDiverged), Disk: is(DiskFine, DiskFilling)}, Rejoin, "T7", "this standby holds log that the primary's history lacks"},
	{319, When{Record: is(RecordTheirs), Mode: is(Alone), Keeper: is(KeeperReached), Postgres: is(PostgresStarting, PostgresStandby), Peer: is(PeerHere), PeerPG: is(PeerPGOpen), Stream: is(StreamStranded), Disk: is(DiskFine, DiskFilling)}, Rejoin, "T7", "the primary has removed the log that this standby needs next"},
	{320, When{Record: is(RecordTheirs), Postgres: is(PostgresStandby), Settings: is(SettingsWrong)}, PutRight, "", "the managed settings do not fit a standby"},
	{390, When{Record: is(RecordTheirs)}, Wait, "", "this server is standby and nothing needs to change"},
}
