package wire

import (
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// Kinds of messages between supervisors. KindReport is shared with the witness.
const (
	// KindPauseReplay and KindResumeReplay serve the attach proof (T2, step 3).
	KindPauseReplay  = "pause-replay"
	KindResumeReplay = "resume-replay"
	// KindRelease is a standby's goodbye: answered once the primary is alone.
	KindRelease = "release"
	// KindResting: the primary stops on purpose; nobody shall take over for it.
	KindResting = "resting"
	// KindHolds asks a standby whether it has flushed a position.
	KindHolds = "holds"
	// KindHistory asks the primary where its timelines forked.
	KindHistory = "history"
	// KindLearn hands over a record that the keeper has just confirmed.
	KindLearn = "learn"
	// KindFailover carries enable-failover and disable-failover to the other server.
	KindFailover = "failover"
	// KindPreDetach asks for the other server's pre_detach command; answered at its end.
	KindPreDetach = "pre-detach"
	// KindInspect asks a server to look at itself, as package check does; KindProgress
	// how far it is with its log.
	KindInspect  = "inspect"
	KindProgress = "progress"
	// KindPairFile asks for the text of pair.toml, to compare it.
	KindPairFile = "pair-file"
)

// Kinds that the command line sends to the supervisor on its own machine, over
// the control socket. KindSwitch, KindJob, KindCancel, KindDetach and KindAttach
// are passed on to the primary.
const (
	KindStatus  = "status"
	KindExplain = "explain"
	KindSwitch  = "switch"
	KindJob     = "job"
	KindCancel  = "cancel"
	KindDetach  = "detach"
	KindAttach  = "attach"
	KindStop    = "stop"
	KindPIDs    = "pids"
	// KindCheck asks what mcctl check cannot see itself: what this supervisor knows,
	// and what the other server sees of itself.
	KindCheck = "check"
	// KindPreview asks what a switch would meet; it is passed on to the primary.
	KindPreview = "preview"
)

// What a report says of its server's PostgreSQL.
const (
	ReportStandby = "standby"
	ReportOpen    = "open"
	ReportGated   = "gated"
	ReportDown    = "down"
	ReportLeaving = "leaving"
	ReportResting = "resting"
	ReportBusy    = "busy"
)

// Report is what a supervisor tells the other: with a heartbeat, when it says something new.
type Report struct {
	Server   pair.Server   `json:"server"`
	Record   record.Record `json:"record"` // newest known
	Copy     record.Record `json:"copy"`   // on this server's disk
	Postgres string        `json:"postgres"`
	Timeline pair.Timeline `json:"timeline,omitempty"`
	// CheckpointTimeline is the timeline in the control file: pg_rewind reads it.
	CheckpointTimeline pair.Timeline `json:"checkpoint_timeline,omitempty"`
	// Insert is a primary's newest position; Received and Replayed a standby's.
	Insert   pair.LSN `json:"insert,omitempty"`
	Received pair.LSN `json:"received,omitempty"`
	Replayed pair.LSN `json:"replayed,omitempty"`
	Stream   string   `json:"stream,omitempty"`
	Failover bool     `json:"failover"`
	// Held: an operator has detached the standby. LeftDown: PostgreSQL of that server was left
	// down by start --mc-only. Problem is what goes wrong there. An older supervisor tells none.
	Held     bool   `json:"attach_held,omitempty"`
	LeftDown bool   `json:"left_down,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Rule     int    `json:"rule"`
	Why      string `json:"why"`
	Doing    string `json:"doing,omitempty"` // operation under way, with its progress
	Version  string `json:"version"`
	// DiskError is what the I/O probe met, or ""; DiskPart what of PostgreSQL's is there.
	DiskError string   `json:"disk_error,omitempty"`
	DiskPart  DiskPart `json:"disk_part,omitempty"`
	// DiskLevel is fine, low or critical, by the fullest of PostgreSQL's disks; empty when
	// that is not known. Disk says which it is and what is free there.
	DiskLevel string `json:"disk_level,omitempty"`
	Disk      string `json:"disk,omitempty"`
	// ConfigTrouble is what is wrong with PostgreSQL's configuration files, a line each;
	// ConfigInTheWay is what of it no switch is begun beside. An older supervisor tells neither.
	ConfigTrouble  string `json:"config_trouble,omitempty"`
	ConfigInTheWay string `json:"config_in_the_way,omitempty"`
	// Discarded says which transactions that server had to discard.
	Discarded string `json:"discarded,omitempty"`
	// Arbiter is the one that the server goes by.
	Arbiter string `json:"arbiter,omitempty"`
}

// DiskPart is what PostgreSQL has on a disk. What shares a file system with the data
// directory counts as that.
type DiskPart string

// The parts.
const (
	DiskData       DiskPart = "data"
	DiskWAL        DiskPart = "wal"
	DiskTablespace DiskPart = "tablespace"
)

// HoldsRequest asks for a position to be flushed on a standby. Room: and for the room on its
// disks to be looked at, now.
type HoldsRequest struct {
	LSN  pair.LSN `json:"lsn"`
	Room bool     `json:"room,omitempty"`
}

// HoldsAnswer tells how far the standby has flushed. NoRoom is why it should not be made
// primary for want of room; an older supervisor does not tell.
type HoldsAnswer struct {
	Holds    bool     `json:"holds"`
	Received pair.LSN `json:"received"`
	NoRoom   string   `json:"no_room,omitempty"`
}

// HistoryRequest says whether the asker streams now: a plan of a rebuild is asked for by one
// that does. An older supervisor says nothing, which is taken for no.
type HistoryRequest struct {
	Streams bool `json:"streams,omitempty"`
}

// HistoryAnswer is where a primary's timelines forked, oldest first.
type HistoryAnswer struct {
	Record             record.Record `json:"record"` // by which it reigns
	SystemID           uint64        `json:"system_id"`
	Timeline           pair.Timeline `json:"timeline"`
	CheckpointTimeline pair.Timeline `json:"checkpoint_timeline"`
	Insert             pair.LSN      `json:"insert"` // newest position on Timeline
	Forks              []Fork        `json:"forks"`
}

// Fork says that a timeline ended at LSN.
type Fork struct {
	Timeline pair.Timeline `json:"timeline"`
	LSN      pair.LSN      `json:"lsn"`
}

// PairFileAnswer is the text of a server's pair.toml.
type PairFileAnswer struct {
	Text string `json:"text"`
}

// FailoverRequest turns automatic switch and detach on or off, on both servers
// unless Local.
type FailoverRequest struct {
	On    bool `json:"on"`
	Local bool `json:"local,omitempty"`
}

// FailoverAnswer tells how far the request got.
type FailoverAnswer struct {
	Both  bool   `json:"both"`
	Other string `json:"other,omitempty"` // why the other server does not know yet
}

// SwitchRequest asks for a planned switch. Force takes the reign without the
// other server's consent (T8): commits may be lost.
type SwitchRequest struct {
	Force bool `json:"force,omitempty"`
	// NoFencing: with Force, do not call the fencing command first.
	NoFencing bool `json:"no_fencing,omitempty"`
}

// DetachRequest asks for the standby to be detached. NoFencing: without the fencing
// command. StandbyOff: the operator has made sure that the standby is off, which counts
// like fencing it.
type DetachRequest struct {
	NoFencing  bool `json:"no_fencing,omitempty"`
	StandbyOff bool `json:"standby_off,omitempty"`
}

// Job is a long request with a life of its own: it goes on when the command that
// asked for it is gone. Phases of a switch: checking, checkpoint, closing,
// handing-over, promoting; then done, failed or given-up.
type Job struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Phase string `json:"phase"`
	// Final: nothing more will happen. Committed: past the point of no return.
	Final     bool      `json:"final"`
	Committed bool      `json:"committed"`
	Error     string    `json:"error,omitempty"`
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Term      uint64    `json:"term,omitempty"`
	Steps     []JobStep `json:"steps,omitempty"`
	// Warnings were found before it began; only the answer to the request has them.
	Warnings []string `json:"warnings,omitempty"`
}

// JobStep is a phase that was entered, in milliseconds since the job began.
type JobStep struct {
	Phase string  `json:"phase"`
	AtMS  float64 `json:"at_ms"`
}

// JobRequest names a job; the empty ID is the newest.
type JobRequest struct {
	ID    string `json:"id,omitempty"`
	Local bool   `json:"local,omitempty"` // only what this server knows itself
}

// StopRequest ends a supervisor. KeepPostgres is --mc-only; Both is -a.
type StopRequest struct {
	KeepPostgres bool `json:"keep_postgres,omitempty"`
	Both         bool `json:"both,omitempty"`
	// Regardless: the other server stops too, so nobody will wait for this one.
	Regardless bool `json:"regardless,omitempty"`
}

// StopAnswer is given when PostgreSQL has stopped and the supervisor is about to end.
type StopAnswer struct {
	Notes []string `json:"notes,omitempty"`
	// Left says why the other server goes on although both should stop.
	Left string `json:"left,omitempty"`
}

// Done answers requests that have nothing else to tell; Note is a sentence for the operator.
type Done struct {
	Note string `json:"note,omitempty"`
}

// What Status.Summary may be.
const (
	SummarySwitchable       = "switchable" // a switch would be allowed now
	SummarySwitching        = "switching"
	SummarySwitched         = "switched"
	SummaryNotSwitchable    = "not-switchable"
	SummaryFailoverDisabled = "failover-disabled"
	SummaryUnknown          = "unknown"
)

// Status is what a supervisor knows of the pair.
type Status struct {
	Pair    string        `json:"pair"`
	Local   pair.Server   `json:"local"`
	Record  record.Record `json:"record"`
	Healthy bool          `json:"healthy"` // paired, both servers and their files well, failover enabled, the arbiter hears both
	// Summary is the pair in one word of Mirroring Controller's.
	Summary  string `json:"summary"`
	NextStep string `json:"next_step,omitempty"`
	// Warnings are about PostgreSQL's configuration files, and about room on the disks.
	Warnings []string `json:"warnings,omitempty"`
	Failover bool     `json:"failover"`
	// Held: an operator has detached the standby, as the primary's supervisor knows.
	Held bool `json:"attach_held"`
	// LeftDown: PostgreSQL of the answering server was left down by start --mc-only.
	LeftDown bool           `json:"left_down,omitempty"`
	Servers  []ServerStatus `json:"servers"`
	Arbiter  ArbiterStatus  `json:"arbiter"`
	Job      *Job           `json:"job,omitempty"`
	// SyncWaiters counts commits that wait for the standby right now.
	SyncWaiters int `json:"sync_waiters"`
	// CancelledWaits counts commits that were seen to return before the standby had them,
	// since the supervisor started.
	CancelledWaits int `json:"cancelled_waits"`
	// WorstStallMS is the longest that commits were seen to wait since the start.
	WorstStallMS float64 `json:"worst_stall_ms"`
	// Switched: roles have changed, and no standby was attached in this term yet.
	Switched bool `json:"switched"`
	// StallMS is how long they wait now.
	StallMS float64 `json:"stall_ms"`
	// Replication is each server's own account, when it was asked for.
	Replication []Replication `json:"replication,omitempty"`
}

// ServerStatus is one server as the answering supervisor sees it.
type ServerStatus struct {
	Server     pair.Server   `json:"server"`
	Role       pair.Role     `json:"role"`
	Supervisor string        `json:"supervisor"` // here, quiet, lost, refused
	Postgres   string        `json:"postgres"`
	Client     string        `json:"client"`
	Timeline   pair.Timeline `json:"timeline,omitempty"`
	LSN        pair.LSN      `json:"lsn"`
	Replayed   pair.LSN      `json:"replayed"`
	LagBytes   uint64        `json:"lag_bytes"`
	SyncState  string        `json:"sync_state,omitempty"`
	Rule       int           `json:"rule,omitempty"`
	Why        string        `json:"why,omitempty"`
	Doing      string        `json:"doing,omitempty"`
	Version    string        `json:"version,omitempty"`
	// Problem is what goes wrong on the answering server now. Lasting: PostgreSQL
	// itself refuses, which waiting does not change.
	Problem string `json:"problem,omitempty"`
	Lasting bool   `json:"lasting,omitempty"`
	// Stream is a standby's own word: the state of its walreceiver, or "".
	Stream string `json:"stream,omitempty"`
	// DiskError is what the I/O probe met, or ""; DiskPart what of PostgreSQL's is there.
	DiskError string   `json:"disk_error,omitempty"`
	DiskPart  DiskPart `json:"disk_part,omitempty"`
	// DiskLevel is fine, low or critical; Disk says which disk is the fullest.
	DiskLevel string `json:"disk_level,omitempty"`
	Disk      string `json:"disk,omitempty"`
	// ConfigTrouble is what is wrong with PostgreSQL's configuration files, a line each;
	// ConfigInTheWay is what of it no switch is begun beside.
	ConfigTrouble  string `json:"config_trouble,omitempty"`
	ConfigInTheWay string `json:"config_in_the_way,omitempty"`
	// Discarded says which transactions the server had to discard, until an operator has
	// marked the report as seen.
	Discarded string `json:"discarded,omitempty"`
	// Arbiter is the one that the server goes by; empty when that is not known.
	Arbiter string `json:"arbiter,omitempty"`
}

// ArbiterStatus is the record's keeper as the answering supervisor sees it.
type ArbiterStatus struct {
	Kind    string `json:"kind"`
	Address string `json:"address,omitempty"`
	Reached bool   `json:"reached"`
	Error   string `json:"error,omitempty"` // reached: why it would yet not let the standby take over
}

// Explanation is the deciding rule with the facts, and why the rows above it
// did not match.
type Explanation struct {
	Server pair.Server `json:"server"`
	Rule   int         `json:"rule"`
	Action string      `json:"action"`
	Why    string      `json:"why"`
	Doing  string      `json:"doing,omitempty"`
	// NextStep is Status.NextStep: why an action fails or is held back, above all.
	NextStep string   `json:"next_step,omitempty"`
	Facts    []Fact   `json:"facts"`
	Above    []Missed `json:"above"`
}

// Fact is one classified observation.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Missed is a rule that did not match, with the first fact in its way.
type Missed struct {
	Rule   int    `json:"rule"`
	Action string `json:"action"`
	Fact   string `json:"fact"`
	Value  string `json:"value"`
	Wants  string `json:"wants"`
}

// PIDs names the processes of one server, 0 where there is none.
type PIDs struct {
	Supervisor  int `json:"supervisor"`
	Watch       int `json:"watch"`
	Postmaster  int `json:"postmaster"`
	WalReceiver int `json:"walreceiver"`
	WalSender   int `json:"walsender"`
}
