package agent

import (
	"maps"
	"strings"
	"time"
	"unicode"

	"mcctl/pkg/decide"
)

// What fails again and again is told at once, then after a pause that doubles up to the
// longest: an action that clients wait for is tried ten times a second, for hours perhaps,
// and nobody rotates the files that tell it. What has rested for the longest pause is new.
const (
	firstRepeat   = time.Second
	longestRepeat = time.Minute
	// mostRepeats bounds what is remembered, for errors that are never the same.
	mostRepeats = 32
)

// repeats says when an end of an action is worth telling. Its errors count one by one, so
// that two of them that come by turns are not always news.
type repeats struct{ of map[failing]*repeated }

type failing struct {
	action decide.Action
	why    string
}

type repeated struct {
	last, told, pause time.Duration
	times             int // since it was told
}

// tell returns how many times this has happened since it was told, or 0: it is not to be
// told now.
func (r *repeats) tell(action decide.Action, why error, now time.Duration) (times int) {
	if why == nil {
		maps.DeleteFunc(r.of, func(f failing, _ *repeated) bool { return f.action == action })
		return 1
	}
	f := failing{action, withoutDigits(why.Error())}
	seen := r.of[f]
	if seen == nil || now-seen.last > longestRepeat {
		r.remember(f, &repeated{last: now, told: now, pause: firstRepeat})
		return 1
	}
	seen.last = now
	seen.times++
	if now-seen.told < seen.pause {
		return 0
	}
	times = seen.times
	seen.told, seen.pause, seen.times = now, min(2*seen.pause, longestRepeat), 0
	return times
}

func (r *repeats) remember(f failing, seen *repeated) {
	if r.of == nil || len(r.of) >= mostRepeats {
		r.of = map[failing]*repeated{}
	}
	r.of[f] = seen
}

// withoutDigits makes errors the same that differ in a port, a pid or a position in the log.
func withoutDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsDigit(c) {
			return -1
		}
		return c
	}, s)
}
