// Package pair holds the words of a mirrored pair: servers, roles, modes, terms,
// log positions and timelines. It parses, prints and compares them and does
// nothing else; every other package speaks in these words.
package pair

import (
	"fmt"
	"strconv"
	"strings"
)

// Server is the identifier of one server of the pair, as the operator wrote it
// in the management directory ("server1").
type Server string

// Term counts the reigns of a pair. It grows by one whenever another server
// becomes primary and never goes back.
type Term uint64

// Mode says what the record promises.
type Mode string

const (
	// Paired: every acknowledged commit is flushed on both servers.
	Paired Mode = "paired"
	// Alone: the primary acknowledges by itself; the other server may lack commits.
	Alone Mode = "alone"
)

// Role is what a PostgreSQL server is doing in the pair.
type Role string

const (
	Primary     Role = "primary"
	Standby     Role = "standby"
	RoleUnknown Role = "unknown"
)

// Timeline is PostgreSQL's timeline id; 0 means unknown.
type Timeline uint32

// Size prints a number of bytes as people say it.
func Size(bytes uint64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, units, i := float64(bytes)/unit, "KMGTPE", 0
	for ; value >= unit && i < len(units)-1; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %cB", value, units[i])
}

// LSN is a position in the write-ahead log, in bytes; 0 means unknown.
type LSN uint64

// ParseLSN reads PostgreSQL's form "16/B374D848"; the empty string is 0.
func ParseLSN(s string) (LSN, error) {
	if s == "" {
		return 0, nil
	}
	hi, lo, ok := strings.Cut(s, "/")
	h, errHi := strconv.ParseUint(hi, 16, 32)
	l, errLo := strconv.ParseUint(lo, 16, 32)
	if !ok || errHi != nil || errLo != nil {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers as in 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}

func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText writes PostgreSQL's form, so that JSON shows what psql shows.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads PostgreSQL's form.
func (l *LSN) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLSN(string(b))
	return err
}

// Behind is how many bytes l lacks of other, never negative.
func (l LSN) Behind(other LSN) uint64 {
	if l >= other {
		return 0
	}
	return uint64(other - l)
}
