package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"mcctl/pkg/majors"
	"mcctl/pkg/pair"
)

// State is what pg_control says of the server's state.
type State uint32

// The values are DBState's in src/include/catalog/pg_control.h, 13 to 18.
const (
	StartingUp         State = 0
	ShutDown           State = 1
	ShutDownInRecovery State = 2
	ShuttingDown       State = 3
	InCrashRecovery    State = 4
	InArchiveRecovery  State = 5
	InProduction       State = 6
)

// String says it in pg_controldata's words.
func (s State) String() string {
	names := [...]string{
		"starting up", "shut down", "shut down in recovery", "shutting down",
		"in crash recovery", "in archive recovery", "in production",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// WasStandby: it ran as a standby when it stopped or died.
func (s State) WasStandby() bool { return s == ShutDownInRecovery || s == InArchiveRecovery }

// CleanPrimary: it was a primary and wrote its shutdown checkpoint.
func (s State) CleanPrimary() bool { return s == ShutDown }

// Control is the useful part of global/pg_control. On a running server it is as
// old as the last checkpoint.
type Control struct {
	SystemID       uint64 // the same in all copies of one cluster
	ControlVersion uint32
	State          State
	Checkpoint     pair.LSN // the last checkpoint record
	Redo           pair.LSN // where recovery would begin
	Timeline       pair.Timeline
	// MinRecovery is how far a standby must replay before it is consistent, on
	// MinRecoveryTimeline; both 0 on a primary. A standby stopped soon after a
	// timeline switch may have a newer timeline here than in Timeline.
	MinRecovery         pair.LSN
	MinRecoveryTimeline pair.Timeline
	// BackupStart is where the backup began that this data was made from, from its first
	// start until recovery has come to the backup's end; else 0.
	BackupStart pair.LSN
	WALLogHints bool // one of the two is needed by pg_rewind
	Checksums   bool
	Segment     uint64 // the size of a WAL segment, in bytes
}

// controlTries reads in a row, controlPause apart, before a wrong checksum is
// believed: the file is rewritten in place, so a reader may see half of a write.
const (
	controlTries = 5
	controlPause = 2 * time.Millisecond
)

var errControlSum = errors.New("its checksum is wrong")

// Control reads pg_control. It needs no running server and no program.
func (in *Instance) Control() (c Control, err error) {
	path := filepath.Join(in.Data, "global", "pg_control")
	for range controlTries {
		var b []byte
		if b, err = os.ReadFile(path); err != nil {
			return Control{}, fmt.Errorf("read pg_control: %w", err)
		}
		if c, err = parseControl(b); !errors.Is(err, errControlSum) {
			break
		}
		time.Sleep(controlPause)
	}
	if err != nil {
		return Control{}, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// parseControl knows the offsets of ControlFileData in src/include/catalog/pg_control.h,
// 13 to 18, on 64-bit little-endian machines.
func parseControl(b []byte) (Control, error) {
	if len(b) < majors.ControlLeast {
		return Control{}, errControlSum // cut off in the middle of a write
	}
	le := binary.LittleEndian
	version := le.Uint32(b[8:])
	end := majors.ControlSum(version)
	if end == 0 {
		return Control{}, fmt.Errorf("its format %d is not of PostgreSQL %d to %d", version, majors.Oldest, majors.Newest)
	}
	if crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)) != le.Uint32(b[end:]) {
		return Control{}, errControlSum
	}
	return Control{
		SystemID:            le.Uint64(b[0:]),
		ControlVersion:      version,
		State:               State(le.Uint32(b[16:])),
		Checkpoint:          pair.LSN(le.Uint64(b[32:])),
		Redo:                pair.LSN(le.Uint64(b[40:])),
		Timeline:            pair.Timeline(le.Uint32(b[48:])),
		MinRecovery:         pair.LSN(le.Uint64(b[136:])),
		MinRecoveryTimeline: pair.Timeline(le.Uint32(b[144:])),
		BackupStart:         pair.LSN(le.Uint64(b[152:])),
		WALLogHints:         b[176] != 0,
		Segment:             uint64(le.Uint32(b[228:])),
		Checksums:           le.Uint32(b[252:]) != 0,
	}, nil
}
