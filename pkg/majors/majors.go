// Package majors is what differs between the major versions of PostgreSQL, 13 to 18,
// as far as it matters here, each with the place that says so. Nobody else compares a
// version number: a new difference gets a field here. It is pure, and it does not find
// out which version a server has. Called by whoever does what differs.
package majors

import "fmt"

// Oldest and Newest are the major versions that this program was tested with.
const (
	Oldest = 13
	Newest = 18
)

// Abilities are what one major version can do and others cannot.
type Abilities struct {
	// RewindConfigFile: pg_rewind takes --config-file, for a postgresql.conf outside
	// the data directory (release notes of 15, server applications).
	RewindConfigFile bool

	// DotsAsText: ".." in the name of an included file goes by the text, not through
	// links (src/backend/utils/misc/guc-file.l, canonicalize_path in src/port/path.c,
	// 15; conffiles' facts ask the server).
	DotsAsText bool

	// HBAContinued: a line of pg_hba.conf goes on behind a backslash at its end (release
	// notes of 14, client authentication).
	HBAContinued bool

	// HBAIncludes: pg_hba.conf may include other files, and what begins with a slash is
	// a regular expression in its columns of databases and users (release notes of 16,
	// client authentication).
	HBAIncludes bool

	// SyncSlots: synchronized_standby_slots keeps logical failover slots from running
	// ahead of a standby (release notes of 17, logical replication). An older server
	// does not start with the line in its postgresql.conf.
	SyncSlots bool
}

// Of tells the abilities of a major version. What is new stays: a version newer than
// Newest is thought to have it all.
func Of(major int) Abilities {
	return Abilities{
		RewindConfigFile: major >= 15,
		DotsAsText:       major >= 15,
		HBAContinued:     major >= 14,
		HBAIncludes:      major >= 16,
		SyncSlots:        major >= 17,
	}
}

// Check is an error for a version that this program was never tested with: it says
// what can be used.
func Check(major int) error {
	if major < Oldest || major > Newest {
		return fmt.Errorf("PostgreSQL %d is not among the versions that mcctl knows, %d to %d; use one of these, or an mcctl that knows it", major, Oldest, Newest)
	}
	return nil
}

// ControlSum is where pg_control of a format (PG_CONTROL_VERSION: 1300 in PostgreSQL 13
// to 17, 1800 in 18) has the checksum of the bytes before it, on 64-bit little-endian
// machines: 18 put default_char_signedness before the nonce
// (src/include/catalog/pg_control.h). What lies before did not move. 0: none of ours.
func ControlSum(format uint32) int {
	switch {
	case format < Oldest*100 || format >= (Newest+1)*100:
		return 0
	case format < 1800:
		return 288
	}
	return 292
}

// ControlLeast is how many bytes of pg_control are enough to judge it by any format.
const ControlLeast = 292 + 4
