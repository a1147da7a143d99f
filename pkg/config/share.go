package config

import (
	"fmt"
	"strconv"
	"strings"

	"mcctl/pkg/disk"
)

// Share is how little may be free on a disk: "10%" of it, a size such as "20GB", or
// both with a comma, of which the smaller counts. "0%" is never reached.
type Share struct {
	Percent uint64
	Size    Bytes
}

// UnmarshalText reads "10%", "20GB" or "10%, 20GB".
func (s *Share) UnmarshalText(b []byte) error {
	*s = Share{}
	for part := range strings.SplitSeq(string(b), ",") {
		part = strings.TrimSpace(part)
		digits, percent := strings.CutSuffix(part, "%")
		if !percent {
			if err := s.Size.UnmarshalText([]byte(part)); err != nil {
				return fmt.Errorf("%q is no share of a disk; write %q, a size such as %q, or both: %q", b, "10%", "20GB", "10%, 20GB")
			}
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n > 99 {
			return fmt.Errorf("%q is no share of a disk; the percentage is a whole number from 0 to 99", b)
		}
		s.Percent = n
	}
	return nil
}

// String writes what UnmarshalText reads.
func (s Share) String() string {
	switch {
	case s.Size == 0:
		return fmt.Sprintf("%d%%", s.Percent)
	case s.Percent == 0:
		return s.Size.String()
	}
	return fmt.Sprintf("%d%%, %s", s.Percent, s.Size)
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Over reports whether less than this is free.
func (s Share) Over(r disk.Room) bool {
	if !r.Known() {
		return false
	}
	least := uint64(s.Size)
	if byShare := r.Total / 100 * s.Percent; s.Percent > 0 && (least == 0 || byShare < least) {
		least = byShare
	}
	return r.Free < least || r.Files > 0 && r.Left < r.Files/100*s.Percent
}

// below: this is reached later than other, as far as they can be compared.
func (s Share) below(other Share) bool {
	if s.Percent > 0 && other.Percent > 0 && s.Percent >= other.Percent {
		return false
	}
	return s.Size == 0 || other.Size == 0 || s.Size < other.Size
}
