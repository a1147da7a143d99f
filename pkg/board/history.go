package board

import (
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// Contains reports whether a primary's history holds everything up to the position
// on the timeline: only then can a server that stands there follow it. A position
// inside a timeline that the primary has left must lie before the fork.
func Contains(h wire.HistoryAnswer, on pair.Timeline, at pair.LSN) bool {
	if on == h.Timeline {
		return at <= h.Insert
	}
	for _, fork := range h.Forks {
		if fork.Timeline == on {
			return at <= fork.LSN
		}
	}
	return false
}
