// Package board is the one place where a supervisor keeps what it has seen: raw
// sights, written by the watchers of package observe, by package act after it has
// changed something, and by package agent for what others tell. Classify turns a
// sight into the finite facts that package decide works on; it is pure. The board
// itself looks at nothing.
package board

import (
	"strings"
	"sync"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/disk"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// Port is what a fresh connection to the other PostgreSQL's port met.
type Port uint8

const (
	PortUnknown Port = iota
	PortAnswers
	PortRefused
	PortSilent
)

// Trouble is what went wrong with a postmaster, in words for the operator. That of an
// earlier one says nothing of the present.
type Trouble struct {
	PID  int
	Text string
	// Lasting: PostgreSQL itself refuses, which waiting does not change.
	Lasting bool
}

// Place is a directory whose disk is watched.
type Place struct {
	Path  string
	Error string
	// Measured: only its room matters.
	Measured bool
	// Same is the directory that speaks for this one, being on the same file system.
	Same string
	// Log: pg_wal is on the disk that this one speaks for.
	Log bool
	disk.Room
}

// Sight is everything seen, raw. Instants are wire.Now(); 0 means never.
type Sight struct {
	// The local PostgreSQL.
	Known   bool // somebody has looked whether a postmaster runs
	PID     int  // 0: no postmaster
	SeenPID time.Duration
	Look    postgres.Look
	LookAt  time.Duration // last successful look at this postmaster
	Hung    bool          // fresh connections run into their deadline
	// Serves: the one that hangs had come so far in its start that it answers everybody, if
	// only with a refusal.
	Serves bool
	// LookTrouble is why the last look failed, StreamTrouble why a standby does not stream.
	LookTrouble, StreamTrouble Trouble
	Gated                      bool
	Control                    postgres.Control // read while no postmaster runs
	Marked                     bool             // standby.signal is there, or was when the postmaster started
	Broken                     bool             // a rewind or a copy was begun and not finished
	// StartsFailed counts starts in a row after which PostgreSQL did not come up.
	StartsFailed int
	// SettingsWrong: the managed lines differ from what role and mode want.
	SettingsWrong bool
	// SettingsStale: they are right in the files, but the server goes by other values.
	SettingsStale bool
	// ConfigTrouble is what is wrong with PostgreSQL's configuration, a line each.
	ConfigTrouble string
	// ConfigInTheWay are the lines of it with which this server could not take the other
	// role and keep it: no planned switch is begun beside them.
	ConfigInTheWay string
	// DiskFailed: on one of the disks writes hang or fail; DiskError says where, DiskPart
	// what of PostgreSQL's that is.
	DiskFailed bool
	DiskError  string
	DiskPart   wire.DiskPart
	Places     []Place // never changed in place
	// ReliefFailed is when a switch for want of room failed last.
	ReliefFailed time.Duration
	// ProbeTrouble is why nobody tries the disks, if so.
	ProbeTrouble string
	// Replied is when the standby's stream last brought something new of it, Streaming since
	// when the same walreceiver here has said that it streams (see Saw).
	Replied, Streaming time.Duration
	// Waiting is since when clients have waited for the standby without progress.
	Waiting   time.Duration
	WorstWait time.Duration
	// CancelledWaits counts commits that returned before the standby had them.
	CancelledWaits int

	// Close is since when the standby streams without a break and is close; Losses are
	// how often it was lost.
	Close  time.Duration
	Losses Losses

	// The other server.
	Started   time.Duration // this supervisor
	Link      wire.LinkState
	Inbound   bool          // its own connection to us is open
	Heard     time.Duration // newest sign of life, on either connection
	Report    wire.Report
	ReportAt  time.Duration
	Port      Port
	PortSince time.Duration
	Diverged  bool
	// Stranded: the primary has removed the log that this standby needs next.
	Stranded bool

	// The record.
	Record    record.Record // newest known
	Copy      record.Record // on this server's disk
	Confirmed bool          // somebody who must know has told the record in this run
	// KeeperReached is the keeper's own word; KeeperLost since when it is not.
	KeeperReached bool
	KeeperLost    time.Duration

	// Leave is whether the keeper lets this server go alone or take over.
	Leave decide.Leave

	// The operator's wishes.
	Task        decide.Task
	FailoverOff bool
	Held        bool
	TakesLeave  bool // this standby has asked the primary to go on without it
	// Moving: the primary leaves its arbiter, and stays alone until it has turned to another.
	Moving      bool
	PeerResting bool // the other server's primary was stopped on purpose
	// PeerFailoverOff: automatic failover is off there, by its last word.
	PeerFailoverOff bool

	// Discarded says which transactions this server had to discard; empty when there are
	// none, or an operator has seen the report.
	Discarded string

	// Doing is the action under way.
	Doing    decide.Action
	Progress string
	// Starting: it brings this server back, and has come to the start of PostgreSQL:
	// nothing is rewound or copied any more.
	Starting bool
}

// Board holds the newest sight. Every note wakes the loop.
type Board struct {
	mu   sync.Mutex
	s    Sight
	wake chan struct{}
}

// NewBoard is empty: nothing has been seen yet.
func NewBoard() *Board { return &Board{wake: make(chan struct{}, 1)} }

// Read returns a copy.
func (b *Board) Read() Sight {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// Note changes the sight and wakes the loop.
func (b *Board) Note(change func(*Sight)) {
	b.Set(change)
	b.Wake()
}

// Set changes the sight for the loop itself, which needs no waking.
func (b *Board) Set(change func(*Sight)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.s)
}

// Claim begins a task unless one is under way, which it tells.
func (b *Board) Claim(task decide.Task) (underWay decide.Task) {
	b.Note(func(s *Sight) {
		if underWay = s.Task; underWay == decide.NoTask {
			s.Task = task
		}
	})
	return underWay
}

// Release ends a task, unless another one has taken its place.
func (b *Board) Release(task decide.Task) { b.Note(func(s *Sight) { s.Release(task) }) }

// Release is that of the board.
func (s *Sight) Release(task decide.Task) {
	if s.Task == task {
		s.Task = decide.NoTask
	}
}

// Wake makes the loop turn although nothing was noted.
func (b *Board) Wake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Woken receives after a note.
func (b *Board) Woken() <-chan struct{} { return b.wake }

// Learn keeps the newest of two records. A confirmed one of the same revision wins
// over the own copy, which may hold a pledge that the keeper does not know (T2).
func (s *Sight) Learn(r record.Record, confirmed bool) {
	same := r.Term == s.Record.Term && r.Revision == s.Record.Revision
	switch {
	case !r.Exists():
	case r.NewerThan(s.Record):
		s.Record, s.Confirmed, s.Diverged, s.Stranded = r, confirmed, false, false
	case same && confirmed:
		s.Record, s.Confirmed = r, true
	}
}

// Names reports whether the record names this server primary.
func (s *Sight) Names(who pair.Server) bool { return s.Record.Exists() && s.Record.Primary == who }

// RunsUnseen: a postmaster is found by the files of its data directory. One that was started
// before these went from there may run on, and be open to clients: nobody here could end it
// if the other server reigned.
func (s *Sight) RunsUnseen() bool {
	return s.PID == 0 && s.Broken && s.Report.Stream == "streaming"
}

// Lines takes apart what the board holds a line each.
func Lines(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == '\n' })
}
