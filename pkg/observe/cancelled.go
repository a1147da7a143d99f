package observe

import (
	"context"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// Cancelled is a commit whose wait for the standby ended before the standby had it:
// pg_cancel_backend, a timeout or pg_terminate_backend let SyncRepWaitForLSN
// (syncrep.c, 13 to 18) return. It is committed on the primary only.
type Cancelled struct {
	postgres.Waiter
	LSN  pair.LSN  `json:"lsn"` // behind its commit record
	Seen time.Time `json:"seen"`
	// Ended: the session has ended; else its client was told that it committed.
	Ended bool `json:"ended"`
}

// wait is a commit that was seen waiting. Its record lies between the positions.
type wait struct {
	postgres.Waiter
	after, before pair.LSN
}

// suspect is a wait that ended while the standby may not have had the record.
type suspect struct {
	wait
	received postgres.Received
	timeline pair.Timeline
	at       time.Time
	of       int // the postmaster
}

// waits are the commits that were waiting at the last look. Only LookAround uses it.
type waits struct {
	of    int // postmaster
	seen  map[waitKey]wait
	marks []mark
}

type waitKey struct {
	pid int
	xid uint32
}

// mark is a position that every commit record has behind it which was written some
// seconds after at, or which the standby still had to receive then.
type mark struct {
	at  time.Duration
	lsn pair.LSN
}

// markAge is how much earlier than it is seen waiting a commit's record was written at
// the most: it is flushed in between.
const markAge = 5 * time.Second

// turn takes a look and returns the waits that have ended since the last one.
func (w *waits) turn(of int, seen postgres.Look, now time.Duration) (ended []wait) {
	if w.of != of || seen.InRecovery || seen.SyncNames == "" {
		*w = waits{of: of}
	}
	if seen.InRecovery {
		return nil
	}
	w.note(seen, now)
	next := make(map[waitKey]wait, len(seen.Waiters))
	for _, waiter := range seen.Waiters {
		key := waitKey{waiter.PID, waiter.XID}
		one, known := w.seen[key]
		if !known {
			one = wait{waiter, w.marks[0].lsn, seen.Insert}
		}
		next[key] = one
	}
	for key, one := range w.seen {
		if _, waits := next[key]; !waits {
			ended = append(ended, one)
		}
	}
	w.seen = next
	return ended
}

func (w *waits) note(seen postgres.Look, now time.Duration) {
	here := mark{now, seen.Insert}
	if seen.Peer != nil && seen.Peer.Flush != 0 {
		here.lsn = min(here.lsn, seen.Peer.Flush)
	}
	w.marks = append(w.marks, here)
	for len(w.marks) > 1 && now-w.marks[1].at > markAge {
		w.marks = w.marks[1:]
	}
}

// endedWaits looks closer at waits that have ended. Most have because the standby has
// the record; those where this cannot be told yet go to WatchWaits. What a detach or a
// switch lets go is none: the record says so before PostgreSQL does it.
func (l *Local) endedWaits(ctx context.Context, session Session, pid int, seen postgres.Look, ended []wait) {
	var open []wait
	var pids []int
	for _, one := range ended {
		if seen.Peer == nil || seen.Peer.Flush < one.before {
			open, pids = append(open, one), append(pids, one.PID)
		}
	}
	if len(open) == 0 || !l.waitsCount(pid) {
		return
	}
	received, err := session.Received(ctx, string(l.Peer), l.Slot, pids)
	if err != nil || received.SyncNames == "" || !l.waitsCount(pid) {
		return
	}
	var suspects []suspect
	for _, one := range open {
		if received.Flush < one.before {
			suspects = append(suspects, suspect{one, received, seen.Timeline, time.Now(), pid})
		}
	}
	if len(suspects) == 0 {
		return
	}
	select {
	case l.suspects <- suspects:
	default: // more at once than anybody would read
	}
}

// waitsCount: commits are promised to be on both servers, and nobody ends sessions
// on purpose.
func (l *Local) waitsCount(pid int) bool {
	s := l.Board.Read()
	return s.PID == pid && s.Record.Mode == pair.Paired && s.Doing != decide.Switch && s.Task != decide.TaskStop
}

// resolveAfter is how long suspects are gathered. A session that had asked for
// remote_write was let go a little before the standby's flush, which follows meanwhile.
const resolveAfter = time.Second

// WatchWaits finds out which of the suspects were cancelled: the log of this server
// says where the commit record is, and the standby had said how far it had come. No
// other place tells that position. Without pg_waldump nothing is counted.
func (l *Local) WatchWaits(ctx context.Context) error {
	for {
		var all []suspect
		select {
		case all = <-l.suspects:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.sleep(ctx, resolveAfter)
		for more := true; more; {
			select {
			case those := <-l.suspects:
				all = append(all, those...)
			default:
				more = false
			}
		}
		for _, c := range l.cancelled(ctx, all) {
			l.Board.Note(func(s *board.Sight) { s.CancelledWaits++ })
			l.TellCancelled(c)
		}
	}
}

// resolvePatience bounds the reading of the log.
const resolvePatience = 10 * time.Second

func (l *Local) cancelled(ctx context.Context, all []suspect) (found []Cancelled) {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	last := all[len(all)-1]
	s := l.Board.Read()
	if s.PID != last.of || s.Record.Mode == pair.Paired && s.Look.SyncNames == "" {
		return nil // somebody has let them all go
	}
	from, until := last.after, s.Look.Flush
	for _, one := range all {
		from = min(from, one.after)
	}
	// A commit record that the standby had only half has its beginning before. Segments
	// begin at multiples of a megabyte, and an earlier one may have gone.
	from = max(from&^(1<<20-1), from-min(from, 1<<16))
	content, err := l.Instance.Log(ctx, last.timeline, from, until)
	if err != nil {
		return nil
	}
	ends := map[uint32]pair.LSN{}
	for _, c := range content.Commits {
		ends[c.XID] = c.End
	}
	for _, one := range all {
		end, written := ends[one.XID]
		has := one.received.Flush
		if end <= one.received.Write && s.Look.Peer != nil { // it may have asked for less
			has = max(has, s.Look.Peer.Flush)
		}
		if written && one.of == s.PID && end > has {
			found = append(found, Cancelled{one.Waiter, end, one.at, !one.received.Here[one.PID]})
		}
	}
	return found
}

// lookedAtWaits is called with every look.
func (l *Local) lookedAtWaits(ctx context.Context, session Session, pid int, seen postgres.Look) {
	if ended := l.waits.turn(pid, seen, l.Clock.Now()); len(ended) > 0 {
		l.endedWaits(ctx, session, pid, seen, ended)
	}
}
