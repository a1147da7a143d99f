package board

import (
	"fmt"
	"time"

	"mcctl/pkg/disk"
	"mcctl/pkg/pair"
)

// The levels of a disk. Nothing is concluded from one that is not known.
const (
	LevelUnknown  = ""
	LevelFine     = "fine"
	LevelLow      = "low"
	LevelCritical = "critical"
)

// reliefPause follows a switch for want of room that failed: each try closes to
// clients for a moment.
const reliefPause = 10 * time.Minute

// Level is how full a file system is.
func (l Limits) Level(r disk.Room) string {
	switch {
	case !r.Known():
		return LevelUnknown
	case l.DiskCritical.Over(r):
		return LevelCritical
	case l.DiskLow.Over(r):
		return LevelLow
	}
	return LevelFine
}

// grave tells which of two levels is worse.
var grave = map[string]int{LevelFine: 1, LevelUnknown: 2, LevelLow: 3, LevelCritical: 4}

// Fullest is the worst of PostgreSQL's disks with its level. One that is not known
// leaves the whole unknown, unless another one is short of room.
func (l Limits) Fullest(places []Place) (worst Place, level string) {
	for _, p := range places {
		if p.Measured || p.Same != "" {
			continue
		}
		if at := l.Level(p.Room); worst.Path == "" || grave[at] > grave[level] {
			worst, level = p, at
		}
	}
	return worst, level
}

// filling: a disk is nearly full here while the other server has room on all of its
// own. That it must not even be low there keeps the role from going to and fro: both
// servers write the same log, so the next switch needs somebody who made room.
func (l Limits) filling(s Sight, now time.Duration) bool {
	if _, level := l.Fullest(s.Places); level != LevelCritical || s.Report.DiskLevel != LevelFine {
		return false
	}
	return s.ReliefFailed == 0 || now-s.ReliefFailed >= reliefPause
}

// What a promotion writes before clients get in: a segment of the log, with which the new
// timeline begins, and one more if that was nearly full (exitArchiveRecovery and
// PreallocXlogFiles in xlog.c, 13 to 18); beside the data some small files.
const (
	promotionSegments = 2
	promotionBytes    = 1 << 20
	promotionFiles    = 16
)

// NoRoom is why a server with these disks should not be made primary, and what to do, or
// empty: it could not be promoted, or would want to be relieved at once. Its log has segments
// of that many bytes.
func (l Limits) NoRoom(spaces []disk.Space, segment uint64) string {
	for _, s := range spaces {
		p, need := Place{Path: s.Path, Room: s.Room}, uint64(promotionBytes)
		if s.Log {
			need += promotionSegments * segment
		}
		switch {
		case !s.Tablespace && (p.Free < need || p.Files > 0 && p.Left < promotionFiles):
			return fmt.Sprintf("%s, and a promotion needs %s and %d files there: free or add some", p.Describe(), pair.Size(need), promotionFiles)
		case l.Level(p.Room) == LevelCritical:
			return p.Describe() + ", less than policy.disk_critical: free or add some there, or lower that if it is enough"
		}
	}
	return ""
}

// Describe says how much room a directory has.
func (p Place) Describe() string {
	if !p.Known() {
		return p.Path + ": not known"
	}
	text := fmt.Sprintf("%s: %d %% (%s) free", p.Path, 100*p.Free/p.Total, pair.Size(p.Free))
	if p.Files > 0 && p.Left/100*p.Total < p.Free/100*p.Files {
		text += fmt.Sprintf(", %d %% of its files", 100*p.Left/p.Files)
	}
	return text
}
