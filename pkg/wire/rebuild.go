package wire

import "mcctl/pkg/pair"

// Kinds that concern rebuilding a standby. KindHoldings is asked by the other
// supervisor; the rest comes over the control socket of the server to be rebuilt.
const (
	KindHoldings      = "holdings"
	KindRebuild       = "rebuild"
	KindRebuildJob    = "rebuild-job"
	KindRebuildCancel = "rebuild-cancel"
)

// Ways to make a standby of a server.
const (
	WayAuto     = "auto"
	WayStraight = "straight" // it follows as it is
	WayRewind   = "rewind"   // pg_rewind
	WayCopy     = "copy"     // pg_basebackup
	WayCommand  = "command"  // policy.rebuild_command
)

// HoldingsAnswer is what a primary has to copy, and from where on it has its log.
type HoldingsAnswer struct {
	Bytes       int64             `json:"bytes"` // in the data directory, without pg_wal
	Tablespaces []TablespaceSpace `json:"tablespaces,omitempty"`
	WAL         int64             `json:"wal"` // by which the log may grow between two checkpoints
	OldestWAL   pair.LSN          `json:"oldest_wal"`
	// Keeps is nil when the other supervisor is older and does not tell it.
	Keeps *LogKeeping `json:"keeps,omitempty"`
}

// LogKeeping is how much log the slots of a primary may keep, and where it has little
// room.
type LogKeeping struct {
	SlotLimit int64       `json:"slot_limit"`          // max_slot_wal_keep_size in bytes; -1: no limit
	SlotIdle  int64       `json:"slot_idle,omitempty"` // idle_replication_slot_timeout in seconds; 0: none
	Short     []ShortDisk `json:"short,omitempty"`
}

// ShortDisk is a disk of PostgreSQL's on which room is short.
type ShortDisk struct {
	Disk  string `json:"disk"`          // a directory there, and how much is free
	Level string `json:"level"`         // low or critical
	Log   bool   `json:"log,omitempty"` // pg_wal is there
}

// TablespaceSpace is a tablespace with its size in bytes.
type TablespaceSpace struct {
	OID      string `json:"oid"`
	Name     string `json:"name"`
	Location string `json:"location"`
	Bytes    int64  `json:"bytes"`
}

// HoldingsRequest asks for the position of the oldest log only, or for sizes too.
type HoldingsRequest struct {
	Sizes bool `json:"sizes,omitempty"`
}

// RebuildRequest asks for the standby here to be made anew.
type RebuildRequest struct {
	Way     string `json:"way"`                // WayAuto, WayRewind, WayCopy or WayCommand
	MaxRate string `json:"max_rate,omitempty"` // as pg_basebackup takes it: "50M"
	InPlace bool   `json:"in_place,omitempty"` // the old data may be emptied first
	KeepOld bool   `json:"keep_old,omitempty"` // the old data stays beside the new
	DryRun  bool   `json:"dry_run,omitempty"`  // only the plan
}

// RebuildPlan is what a rebuild would do, and why.
type RebuildPlan struct {
	Server  pair.Server `json:"server"`
	From    pair.Server `json:"from"`
	Way     string      `json:"way"`
	Why     string      `json:"why"`
	InPlace bool        `json:"in_place,omitempty"`
	Paired  bool        `json:"paired,omitempty"` // the primary goes alone first
	// Extra is how many bytes of log are here that the primary's history lacks, as
	// far as it is known without starting PostgreSQL.
	Extra int64 `json:"extra_bytes,omitempty"`
	// Lacks is how many bytes of log the primary has that are not here.
	Lacks int64  `json:"lacking_bytes,omitempty"`
	Bytes int64  `json:"bytes,omitempty"` // to be copied, without the log
	Rooms []Room `json:"rooms,omitempty"`
	// BytesPerSecond is the rate of the last copy that was made here, 0 if none was.
	BytesPerSecond int64 `json:"bytes_per_second,omitempty"`
	Seconds        int64 `json:"seconds,omitempty"` // how long it will take at that rate
	// Warnings are what may go wrong meanwhile. They keep nothing from being begun.
	Warnings []string `json:"warnings,omitempty"`
	// Problems are what is in the way. With any, nothing is begun.
	Problems []string `json:"problems,omitempty"`
}

// Room is what a copy needs on one file system, in bytes, and what is free there.
type Room struct {
	Path  string `json:"path"`
	Needs int64  `json:"needs"`
	Free  int64  `json:"free"`
}

// Phases of a rebuild.
const (
	RebuildWaiting   = "waiting" // for the primary to go alone and for what is under way here
	RebuildStopping  = "stopping"
	RebuildRewinding = "rewinding"
	RebuildCopying   = "copying"
	RebuildSwapping  = "swapping"
	RebuildStarting  = "starting"
	RebuildDone      = "done"
	RebuildFailed    = "failed"
	RebuildGivenUp   = "given-up"
)

// RebuildJob is a rebuild under way, or the last one.
type RebuildJob struct {
	ID        string         `json:"id"`
	Automatic bool           `json:"automatic,omitempty"` // the supervisor began it by itself (policy.rejoin)
	Request   RebuildRequest `json:"request"`
	Plan      RebuildPlan    `json:"plan"`
	Phase     string         `json:"phase"`
	// Final: nothing more will happen. Committed: what was here is being replaced.
	Final     bool      `json:"final"`
	Committed bool      `json:"committed"`
	Error     string    `json:"error,omitempty"`
	Try       int       `json:"try,omitempty"` // counts the copies that were begun
	Note      string    `json:"note,omitempty"`
	Steps     []JobStep `json:"steps,omitempty"`
	// Done and Total are bytes of the copy; Total is an estimate.
	Done           int64 `json:"done_bytes"`
	Total          int64 `json:"total_bytes"`
	BytesPerSecond int64 `json:"bytes_per_second,omitempty"`
	Seconds        int64 `json:"seconds_left,omitempty"`
}

// RebuildAnswer is the plan of a dry run, or the job that was begun or is under way.
type RebuildAnswer struct {
	Plan *RebuildPlan `json:"plan,omitempty"`
	Job  *RebuildJob  `json:"job,omitempty"`
	// Begun: the job was begun by this request.
	Begun bool `json:"begun,omitempty"`
}
