// Package decide is the brain of a supervisor and nothing but that: facts go in,
// one action and the number of the rule that chose it come out. It has no clock,
// no I/O and no memory. Facts are classified, finite values (package observe makes
// them from ages, log positions and answers), so that every input can be tried.
// Package agent calls Decide on every turn of its loop; package act carries the
// action out. All actions are idempotent: after a crash the same facts lead to
// the same rule again.
package decide

import "fmt"

// Facts is everything a decision depends on, as one server sees it now.
type Facts struct {
	Task     Task
	Record   Record
	Mode     Mode
	Keeper   Keeper
	Postgres Postgres
	Data     Data
	Settings Settings
	Disk     Disk
	Peer     Peer
	PeerPG   PeerPG
	Stream   Stream
	Stall    Stall
	Failover Failover
	Attach   AttachWish
	Leave    Leave
}

// Task is what an operator asked this server to do.
type Task uint8

const (
	NoTask Task = iota
	TaskStop
	TaskSwitch
	TaskDetach
	// TaskRebuild: make this standby anew.
	TaskRebuild
)

// Record says whom the record names primary, as far as this server may rely on it.
type Record uint8

const (
	// RecordUnread: there is no own copy, and nobody has been asked yet.
	RecordUnread Record = iota
	// RecordClaimed: what the own copy says is not enough here, and nobody has
	// confirmed it (T6).
	RecordClaimed
	RecordMine
	RecordTheirs
)

// Mode is the record's promise, read so that it never claims less than was promised.
type Mode uint8

const (
	Alone Mode = iota
	// Pledged: own copy already says paired, the keeper still says alone (T2, steps 6 and 7).
	Pledged
	Paired
)

// Keeper is whether the keeper of the record answers.
type Keeper uint8

const (
	KeeperReached Keeper = iota
	KeeperUnreached
	// KeeperIsolated: neither keeper nor peer has answered for isolation_timeout, nor has
	// the standby replied over replication.
	KeeperIsolated
)

// Postgres is the state of the local server.
type Postgres uint8

const (
	PostgresDown Postgres = iota
	// PostgresStarting: a postmaster runs and accepts nobody yet, or was not looked at yet.
	PostgresStarting
	PostgresStandby
	// PostgresGated: out of recovery, open to the supervisor and to replication only.
	PostgresGated
	PostgresOpen
	// PostgresHung: the postmaster lives and does not answer fresh connections.
	PostgresHung
)

// Data is what the data directory of a stopped server was last, and of one that starts
// what it comes up as.
type Data uint8

const (
	// DataFollower: a standby; it may follow any primary that holds its history.
	DataFollower Data = iota
	// DataClean: a primary that was shut down in good order.
	DataClean
	// DataCrashed: a primary that was not.
	DataCrashed
	// DataBroken: empty, half rewound or half copied.
	DataBroken
)

// Settings is whether the managed lines of postgresql.conf fit the role.
type Settings uint8

const (
	SettingsRight Settings = iota
	SettingsWrong
)

// Disk is the verdict of the I/O probe.
type Disk uint8

const (
	DiskFine Disk = iota
	// DiskFailed: writes hang, fail or are refused.
	DiskFailed
	// DiskFilling: one is nearly full, and the other server has more room.
	DiskFilling
)

// Peer is the other server's supervisor.
type Peer uint8

const (
	PeerHere Peer = iota
	// PeerQuiet: not heard just now, and not long enough to say more.
	PeerQuiet
	// PeerLost: silent for heartbeat_timeout.
	PeerLost
	// PeerRefused: its address answers that no process listens.
	PeerRefused
)

// PeerPG is the other server's PostgreSQL, as its supervisor tells it or, when
// that is missing, as fresh connections to its port find it.
type PeerPG uint8

const (
	PeerPGSilent PeerPG = iota
	PeerPGStandby
	PeerPGOpen
	// PeerPGDown: told down, hung or without a working disk, or its port refuses.
	PeerPGDown
	// PeerPGLeaving: a standby that says goodbye before it stops.
	PeerPGLeaving
	// PeerPGResting: a primary that an operator stopped on purpose.
	PeerPGResting
	// PeerPGBusy: starting, rewinding, being copied: neither serving nor failed.
	PeerPGBusy
)

// Stream is replication between the two, seen from this end.
type Stream uint8

const (
	StreamNone Stream = iota
	// StreamBehind: by more than attach_max_lag, or still in the log of a former reign.
	StreamBehind
	StreamClose
	// StreamSettling: close, but this standby was lost several times: not steady yet.
	StreamSettling
	// StreamDiverged: this standby holds log that its primary's history lacks.
	StreamDiverged
	// StreamStranded: the primary has removed the log that this standby needs next.
	StreamStranded
)

// Stall tells that clients have waited for the standby longer than commit_stall_max.
type Stall uint8

const (
	NoStall Stall = iota
	Stalled
)

// Failover is whether automatic switch and detach are enabled on both servers.
type Failover uint8

const (
	FailoverOn Failover = iota
	FailoverOff
)

// AttachWish is whether the standby may be attached by itself.
type AttachWish uint8

const (
	AttachAllowed AttachWish = iota
	// AttachHeld: an operator detached it, and it stays so until mcctl attach; or the arbiter
	// is being moved.
	AttachHeld
)

// Leave is whether this server may go alone or take over, where the site's commands
// arbitrate; with another arbiter it is always given, and the keeper judges.
type Leave uint8

const (
	LeaveGiven Leave = iota
	// LeaveNeeded: the other server must be fenced first.
	LeaveNeeded
	// LeaveDenied: it may not be fenced either, or not yet.
	LeaveDenied
)

func name(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("?%d", v)
}

var (
	taskNames     = []string{"none", "stop", "switch", "detach", "rebuild"}
	recordNames   = []string{"unread", "claimed", "mine", "theirs"}
	modeNames     = []string{"alone", "pledged", "paired"}
	keeperNames   = []string{"reached", "unreached", "isolated"}
	postgresNames = []string{"down", "starting", "standby", "gated", "open", "hung"}
	dataNames     = []string{"follower", "clean", "crashed", "broken"}
	settingsNames = []string{"right", "wrong"}
	diskNames     = []string{"fine", "failed", "filling"}
	peerNames     = []string{"here", "quiet", "lost", "refused"}
	peerPGNames   = []string{"silent", "standby", "open", "down", "leaving", "resting", "busy"}
	streamNames   = []string{"none", "behind", "close", "settling", "diverged", "stranded"}
	stallNames    = []string{"no", "yes"}
	failoverNames = []string{"on", "off"}
	attachNames   = []string{"allowed", "held"}
	leaveNames    = []string{"given", "needed", "denied"}
)

func (v Task) String() string       { return name(taskNames, uint8(v)) }
func (v Record) String() string     { return name(recordNames, uint8(v)) }
func (v Mode) String() string       { return name(modeNames, uint8(v)) }
func (v Keeper) String() string     { return name(keeperNames, uint8(v)) }
func (v Postgres) String() string   { return name(postgresNames, uint8(v)) }
func (v Data) String() string       { return name(dataNames, uint8(v)) }
func (v Settings) String() string   { return name(settingsNames, uint8(v)) }
func (v Disk) String() string       { return name(diskNames, uint8(v)) }
func (v Peer) String() string       { return name(peerNames, uint8(v)) }
func (v PeerPG) String() string     { return name(peerPGNames, uint8(v)) }
func (v Stream) String() string     { return name(streamNames, uint8(v)) }
func (v Stall) String() string      { return name(stallNames, uint8(v)) }
func (v Failover) String() string   { return name(failoverNames, uint8(v)) }
func (v AttachWish) String() string { return name(attachNames, uint8(v)) }
func (v Leave) String() string      { return name(leaveNames, uint8(v)) }
