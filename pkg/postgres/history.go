package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mcctl/pkg/pair"
)

// Fork is where a timeline ended and the next one of the history began.
type Fork struct {
	Timeline pair.Timeline // the one that was left
	LSN      pair.LSN      // the first byte that is not of it any more
}

// ErrNoHistory tells that pg_wal has no history file of the timeline (yet).
var ErrNoHistory = errors.New("no history file of this timeline in pg_wal")

// History reads how timeline tli came about, oldest fork first, from
// pg_wal/%08X.history (src/backend/access/transam/timeline.c, 13 to 18). Timeline
// 1 has no file and no forks.
func (in *Instance) History(tli pair.Timeline) ([]Fork, error) {
	if tli == 1 {
		return nil, nil
	}
	name := fmt.Sprintf("%08X.history", uint32(tli))
	b, err := os.ReadFile(filepath.Join(in.Data, "pg_wal", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", name, ErrNoHistory)
	}
	if err != nil {
		return nil, fmt.Errorf("read history of timeline %d: %w", tli, err)
	}
	forks, err := parseHistory(string(b))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return forks, nil
}

func parseHistory(s string) ([]Fork, error) {
	var forks []Fork
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 2 {
			return nil, fmt.Errorf("line %q has no log position", strings.TrimSpace(line))
		}
		tli, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
		lsn, err := pair.ParseLSN(f[1])
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
		if n := len(forks); n > 0 && forks[n-1].Timeline >= pair.Timeline(tli) {
			return nil, fmt.Errorf("line %q: timelines must rise", strings.TrimSpace(line))
		}
		forks = append(forks, Fork{pair.Timeline(tli), lsn})
	}
	return forks, nil
}
