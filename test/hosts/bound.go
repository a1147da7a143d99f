package main

import (
	"errors"
	"time"
)

// What is measured must stay below slack times what docs/guarantees.md promises, and
// the noise of a machine that does much else on top. A bound with less slack would tell of the
// machine, one with more would let a fault be noticed by another timer than its own.
const (
	slack = 4
	noise = 2 * time.Second
)

// bound is the time that the pair owes, 0 if none; own is the limit that a scenario
// sets instead of the one that follows from it, for a reason that it says.
type bound struct{ owed, own time.Duration }

// limit is what is asserted.
func (b bound) limit() time.Duration {
	if b.own > 0 {
		return b.own
	}
	return slack*b.owed + noise
}

// readBound takes "bound 2s", "< 20s" and "within 20s" off the end of a line.
func readBound(words []string) (b bound, rest []string, err error) {
	var errs [3]error
	rest, b.owed, errs[0] = tail(words, "bound", 0)
	rest, b.own, errs[1] = tail(rest, "within", 0)
	if b.own == 0 {
		rest, b.own, errs[2] = tail(rest, "<", 0)
	}
	return b, rest, errors.Join(errs[:]...)
}
