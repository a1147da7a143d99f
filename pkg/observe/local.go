// Package observe looks: at the local PostgreSQL and its configuration files, at
// its disk, and at the other server's port. It never changes anything: what it
// sees goes on the board (package board). Package agent owns the goroutines that
// its watchers run in.
package observe

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Postgres is the local server as it is looked at, by the verbs of postgres.Instance.
type Postgres interface {
	Postmaster() (pid int, running bool)
	WatchExit(pid int) (exited <-chan struct{}, forget func(), err error)
	Control() (postgres.Control, error)
	MarkedStandby() bool
	Accepts(pid int) bool
	Serves(pid int) bool
	Lingers(pid int) bool
	Connect(ctx context.Context) (Session, error)
	Knock(ctx context.Context) error
	// Log reads what was written in that part of the write-ahead log.
	Log(ctx context.Context, of pair.Timeline, from, until pair.LSN) (postgres.WALContent, error)
}

// Session is a connection to it.
type Session interface {
	Look(ctx context.Context, peerName string) (postgres.Look, error)
	Received(ctx context.Context, peerName, slot string, pids []int) (postgres.Received, error)
	Close()
}

// On is the PostgreSQL of this machine.
func On(in *postgres.Instance) Postgres { return instance{in} }

type instance struct{ *postgres.Instance }

func (instance) WatchExit(pid int) (<-chan struct{}, func(), error) { return postgres.WatchExit(pid) }

func (in instance) Log(ctx context.Context, of pair.Timeline, from, until pair.LSN) (postgres.WALContent, error) {
	return in.ReadWAL(ctx, filepath.Join(in.Data, "pg_wal"), of, from, until, math.MaxInt)
}

func (in instance) Connect(ctx context.Context) (Session, error) {
	s, err := in.Instance.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Local watches the PostgreSQL of this server. Four watchers look independently,
// so that one that hangs does not blind the others.
type Local struct {
	Board    *board.Board
	Instance Postgres
	Clock    clock.Clock // this machine's unless given
	Peer     pair.Server // application_name of the other server's walreceiver
	// Gated reports whether this postmaster was started behind the gate and the
	// gate is still closed.
	Gated func(pid int) bool
	// Unfinished reports whether a rewind or a copy was begun and not finished.
	Unfinished func() bool
	// Fits reports whether the managed settings are what the sight wants.
	Fits func(board.Sight) (bool, error)

	// Slot is the other server's; TellCancelled is told of commits that returned while
	// they waited for it.
	Slot          string
	TellCancelled func(Cancelled)

	LookEvery, KnockEvery, Timeout time.Duration

	kick, looked chan struct{}
	waits        waits
	suspects     chan []suspect // of one look each
}

// NewLocal fills in what needs no choice.
func NewLocal(l Local) *Local {
	l.kick, l.looked = make(chan struct{}, 1), make(chan struct{}, 1)
	l.Clock = clock.Or(l.Clock)
	l.suspects = make(chan []suspect, 128)
	if l.TellCancelled == nil {
		l.TellCancelled = func(Cancelled) {}
	}
	return &l
}

// Kick asks for a look now instead of at the next interval.
func (l *Local) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// WatchPostmaster notes within milliseconds when a postmaster appears or ends: its
// end is told by the kernel (pidfd), its start by postmaster.pid.
func (l *Local) WatchPostmaster(ctx context.Context) error {
	for ctx.Err() == nil {
		pid, running := l.Instance.Postmaster()
		if !running {
			l.noteDown()
			l.sleep(ctx, min(l.LookEvery, 20*time.Millisecond))
			continue
		}
		exited, forget, err := l.Instance.WatchExit(pid)
		if err != nil { // no descriptor is free: what was known stays
			l.sleep(ctx, min(l.LookEvery, 20*time.Millisecond))
			continue
		}
		l.noteUp(pid)
		if l.Clock.Wait(ctx, -1, exited) {
			l.noteDown() // the kernel has said so; asking the files may take longer
		}
		forget()
	}
	return ctx.Err()
}

func (l *Local) noteUp(pid int) {
	gated, marked := l.Gated(pid), l.Instance.MarkedStandby()
	l.Board.Note(func(s *board.Sight) {
		s.Known, s.PID, s.SeenPID, s.LookAt, s.Hung, s.Serves, s.Gated, s.Marked = true, pid, l.Clock.Now(), 0, false, false, gated, marked
		s.Look, s.Waiting, s.Diverged, s.Stranded = postgres.Look{}, 0, false, false
	})
	l.Kick()
}

func (l *Local) noteDown() {
	control, err := l.Instance.Control()
	broken, marked := l.Unfinished(), l.Instance.MarkedStandby()
	if err != nil {
		control = postgres.Control{} // unreadable is treated as crashed
	}
	if s := l.Board.Read(); s.Known && s.PID == 0 && s.Control == control && s.Broken == broken && s.Marked == marked {
		return
	}
	l.Board.Note(func(s *board.Sight) {
		s.Known, s.PID, s.LookAt, s.Hung, s.Serves, s.Gated, s.Broken = true, 0, 0, false, false, false, broken
		s.Look, s.Waiting, s.Diverged, s.Stranded = postgres.Look{}, 0, false, false
		s.Control, s.Marked = control, marked
	})
}

// LookAround asks PostgreSQL for its state over one warm connection, with one
// statement each interval.
func (l *Local) LookAround(ctx context.Context) error {
	var session Session
	var of int // postmaster that the session belongs to
	drop := func() {
		if session != nil {
			session.Close()
			session = nil
		}
	}
	defer drop()
	for ctx.Err() == nil {
		s := l.Board.Read()
		if s.PID != of {
			drop()
			of = s.PID
		}
		pause := wire.TickAfter(l.Clock.Now(), l.LookEvery)
		if s.PID != 0 && (session == nil && !l.Instance.Accepts(s.PID) || !l.look(ctx, &session, s.PID)) {
			drop()
			l.noteShut(s)
			pause = 10 * time.Millisecond // starting or changing its role: clients are waiting
		}
		select {
		case l.looked <- struct{}{}:
		default:
		}
		l.Clock.Wait(ctx, pause, l.kick)
	}
	return ctx.Err()
}

// noteShut: a server that lets nobody in any more, because it is shutting down, is
// not what the last look saw.
func (l *Local) noteShut(seen board.Sight) {
	if seen.LookAt == 0 || l.Instance.Accepts(seen.PID) {
		return
	}
	l.Board.Note(func(s *board.Sight) {
		if s.PID == seen.PID {
			s.LookAt = 0
		}
	})
}

func (l *Local) look(ctx context.Context, session *Session, pid int) bool {
	ctx, cancel := l.Clock.Timeout(ctx, l.Timeout, nil)
	defer cancel()
	if *session == nil {
		fresh, err := l.Instance.Connect(ctx)
		if err != nil {
			l.noteTrouble(pid, err)
			return false
		}
		*session = fresh
	}
	seen, err := (*session).Look(ctx, string(l.Peer))
	if err != nil {
		l.noteTrouble(pid, err)
		return false
	}
	l.Board.Note(func(s *board.Sight) {
		if s.PID != pid {
			return // of a postmaster that has gone meanwhile
		}
		now := l.Clock.Now()
		s.Waiting = waitingSince(*s, seen, now)
		if s.Waiting > 0 {
			s.WorstWait = max(s.WorstWait, now-s.Waiting)
		}
		s.Saw(seen, now)
		if !seen.InRecovery || s.Look.Receiver.Status == "streaming" {
			s.Diverged, s.Stranded = false, false
		}
	})
	l.lookedAtWaits(ctx, *session, pid, seen)
	return true
}

// noteTrouble keeps why PostgreSQL could not be looked at. The same again is no news.
func (l *Local) noteTrouble(pid int, err error) {
	t := board.Trouble{PID: pid, Text: err.Error()}
	if refusal := postgres.Refusal(err); refusal != "" {
		t.Text = "PostgreSQL does not let the supervisor in: " + refusal + "; mend [postgres] in server.toml, or pg_hba.conf and pg_ident.conf and reload PostgreSQL"
		t.Lasting = true
	}
	if l.Board.Read().LookTrouble != t {
		l.Board.Note(func(s *board.Sight) { s.LookTrouble = t })
	}
}

// waitingSince is the commit stall's own clock. It runs while clients wait, for the
// standby to flush their commits or before a closed gate, and nothing moves on.
func waitingSince(s board.Sight, seen postgres.Look, now time.Duration) time.Duration {
	before := s.Look.Peer
	advances := seen.Peer != nil && before != nil && seen.Peer.Flush > before.Flush
	stuck := seen.SyncWaiters > 0 && !advances
	if s.Gated && !seen.InRecovery {
		// One that streams and has everything may still not open the gate: the proof of the
		// names needs its supervisor, and its PostgreSQL to answer.
		streams := streaming(seen.Peer)
		stuck = stuck || !streams || streaming(before) && !advances
	}
	switch {
	case !stuck:
		return 0
	case s.Waiting > 0:
		return s.Waiting
	}
	return now
}

func streaming(s *postgres.Sender) bool { return s != nil && s.State == "streaming" }

// CheckSettings compares the managed settings after every look. It is a watcher of
// its own because it reads files, which may lie on a disk that hangs.
func (l *Local) CheckSettings(ctx context.Context) error {
	for ctx.Err() == nil {
		if l.Clock.Wait(ctx, -1, l.looked) {
			l.checkSettings()
		}
	}
	return ctx.Err()
}

func (l *Local) checkSettings() {
	s := l.Board.Read()
	fits, err := l.Fits(s)
	if err != nil || fits != s.SettingsWrong {
		return
	}
	l.Board.Note(func(s *board.Sight) { s.SettingsWrong = !fits })
}

// KnockAround proves with fresh connections that the postmaster still answers: a
// connection that was opened earlier would not notice a frozen one.
func (l *Local) KnockAround(ctx context.Context) error {
	answers := l.Clock.Now() // when it last let somebody in, or was just ending by itself
	for ctx.Err() == nil {
		if pid := l.Board.Read().PID; pid != 0 {
			refused, hung := l.knock(ctx)
			if !refused || !l.lingers(pid) {
				answers = l.Clock.Now()
			}
			hung = hung || l.Clock.Now()-answers > lingering
			if s := l.Board.Read(); s.PID == pid && s.Hung != hung && ctx.Err() == nil {
				l.Board.Note(func(s *board.Sight) { s.Hung = hung && s.PID == pid })
			}
			if hung && !l.Board.Read().Serves && l.Instance.Serves(pid) { // after the verdict: the file's disk may hang
				l.Board.Note(func(s *board.Sight) { s.Serves = s.PID == pid })
			}
		}
		l.sleep(ctx, wire.TickAfter(l.Clock.Now(), l.KnockEvery))
	}
	return ctx.Err()
}

func (l *Local) knock(ctx context.Context) (refused, hung bool) {
	ctx, cancel := l.Clock.Timeout(ctx, l.Timeout, nil)
	defer cancel()
	err := l.Instance.Knock(ctx)
	hung = err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded)
	return err != nil && !hung, hung
}

// lingering is how long a server that has shut down may be there still. As long as the
// fast shutdown of one that must not stay open (act): an unreachable standby would hold it
// for wal_sender_timeout.
const lingering = 3 * time.Second

// lingers: it has shut down and is still there, although nobody here has stopped it. So
// it is left by an earlier life of the supervisor, or by a stop behind its back.
func (l *Local) lingers(pid int) bool { return l.Board.Read().Doing == "" && l.Instance.Lingers(pid) }

func (l *Local) sleep(ctx context.Context, d time.Duration) { l.Clock.Wait(ctx, d, nil) }

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
