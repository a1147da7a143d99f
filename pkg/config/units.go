package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written with its unit: "250ms", "1m30s".
type Duration struct{ time.Duration }

// UnmarshalText reads Go's form of a duration; a number without a unit is refused.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number with its unit, such as \"250ms\" or \"1m30s\"", b)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Bytes is a size in bytes, written with PostgreSQL's units: B, kB, MB, GB, TB,
// each 1024 times the one before (guc.c, memory_unit_conversion_table, 15).
type Bytes uint64

const byteUnits = " kMGT" // the powers of 1024 by position

// UnmarshalText reads "16MB"; a number without its unit is refused, but for 0.
func (n *Bytes) UnmarshalText(b []byte) error {
	refused := fmt.Errorf("%q is not a size; write a whole number with one of B, kB, MB, GB, TB, such as \"16MB\"", b)
	digits := strings.TrimRight(string(b), "kMGTB")
	unit := strings.TrimSuffix(string(b)[len(digits):], "B")
	power := 0
	if unit != "" {
		power = strings.Index(byteUnits, unit)
	}
	hasB := strings.HasSuffix(string(b), "B")
	value, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
	if err != nil || len(unit) > 1 || power < 0 || unit != "" && !hasB || !hasB && value != 0 {
		return refused
	}
	if value > ^uint64(0)>>(10*power) {
		return fmt.Errorf("%q is more than 64 bits can count", b)
	}
	*n = Bytes(value << (10 * power))
	return nil
}

// String writes the largest unit that leaves a whole number.
func (n Bytes) String() string {
	power := 0
	for n != 0 && n%1024 == 0 && power < len(byteUnits)-1 {
		n /= 1024
		power++
	}
	return strconv.FormatUint(uint64(n), 10) + strings.TrimSpace(byteUnits[power:power+1]) + "B"
}

// MarshalText writes what UnmarshalText reads.
func (n Bytes) MarshalText() ([]byte, error) { return []byte(n.String()), nil }
