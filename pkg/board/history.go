package board

import (
	"slices"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Contains reports whether a primary's history holds everything up to the position
// on the timeline: only then can a server that stands there follow it. A position
// inside a timeline that the primary has left must lie before the fork. own are that
// server's forks before the timeline.
func Contains(h wire.HistoryAnswer, own []postgres.Fork, on pair.Timeline, at pair.LSN) bool {
	end, known := End(h, own, on)
	return known && at <= end
}

// End is where a primary's history ends on a timeline, if that is in it. Servers that were
// promoted apart may have begun timelines of the same number: it is the same one only after
// the same forks. Where either side does not know its forks, the number has to do.
func End(h wire.HistoryAnswer, own []postgres.Fork, on pair.Timeline) (end pair.LSN, known bool) {
	for i, fork := range append(slices.Clone(h.Forks), wire.Fork{Timeline: h.Timeline, LSN: h.Insert}) {
		if fork.Timeline == on {
			return fork.LSN, len(own) == 0 || i == 0 || slices.EqualFunc(own, h.Forks[:i], sameFork)
		}
	}
	return 0, false
}

func sameFork(a postgres.Fork, b wire.Fork) bool { return a.Timeline == b.Timeline && a.LSN == b.LSN }
