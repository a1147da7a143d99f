package sim

import (
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// rec is a record of the log. A commit has a positive id.
type rec struct {
	end pair.LSN
	tl  pair.Timeline
	id  int
}

// recSize is the length of every record.
const recSize = 100

// wal is the log of one data directory, on one line of timelines.
type wal struct {
	recs    []rec
	flushed int // so many of them are on the disk
	tl      pair.Timeline
	forks   []postgres.Fork
}

func newWAL() *wal { return &wal{recs: []rec{{end: recSize, tl: 1}}, flushed: 1, tl: 1} }

func (l *wal) clone() *wal {
	return &wal{recs: append([]rec(nil), l.recs[:l.flushed]...), flushed: l.flushed, tl: l.tl, forks: append([]postgres.Fork(nil), l.forks...)}
}

func (l *wal) at(n int) pair.LSN {
	if n == 0 {
		return 0
	}
	return l.recs[n-1].end
}

func (l *wal) insertAt() pair.LSN { return l.at(len(l.recs)) }
func (l *wal) flushAt() pair.LSN  { return l.at(l.flushed) }

// add writes a record and returns how many there are then.
func (l *wal) add(id int) int {
	l.recs = append(l.recs, rec{end: l.insertAt() + recSize, tl: l.tl, id: id})
	return len(l.recs)
}

// crash loses some of what was not synced.
func (l *wal) crash(w *World) {
	if n := len(l.recs) - l.flushed; n > 0 {
		l.recs = l.recs[:l.flushed+w.rnd.IntN(n+1)]
	}
	l.flushed = len(l.recs)
}

// timelineAt is the timeline of the record that holds the position before at.
func (l *wal) timelineAt(at pair.LSN) pair.Timeline {
	i := int((at + recSize - 1) / recSize)
	if i < 1 || i > len(l.recs) {
		return 0
	}
	return l.recs[i-1].tl
}

// holds reports whether this log has all that the other one has.
func (l *wal) holds(o *wal) bool {
	n := len(o.recs)
	return n <= len(l.recs) && (n == 0 || l.recs[n-1] == o.recs[n-1])
}

// fork begins a new timeline here.
func (l *wal) fork() {
	l.forks = append(l.forks, postgres.Fork{Timeline: l.tl, LSN: l.insertAt()})
	l.tl++
}
