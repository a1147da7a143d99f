package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"mcctl/pkg/pair"
)

// TimelineAt is the timeline on which the log just before a position was written
// here: of the segments that hold the position the one with the highest timeline,
// because a standby begins a new segment file where it follows to a new timeline
// (XLogFileName, src/include/access/xlog_internal.h, 13 to 18). No SQL function tells
// it for a standby that does not stream: pg_control lags until a restartpoint. 0 means
// that no such segment is there.
func (in *Instance) TimelineAt(at pair.LSN) (pair.Timeline, error) {
	dir := filepath.Join(in.Data, "pg_wal")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("look for timeline of %s: %w", at, err)
	}
	var newest pair.Timeline
	name := regexp.MustCompile(`^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$`)
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		if m == nil || at == 0 {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil || info.Size() == 0 {
			continue // it was recycled meanwhile
		}
		size := uint64(info.Size())
		if segment := number(m[2])*(1<<32/size) + number(m[3]); segment == uint64(at-1)/size {
			newest = max(newest, pair.Timeline(number(m[1])))
		}
	}
	return newest, nil
}

func number(hex string) uint64 {
	n, _ := strconv.ParseUint(hex, 16, 64) // the pattern lets nothing else in
	return n
}
