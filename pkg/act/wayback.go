package act

import (
	"fmt"
	"slices"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// RebuildNotAllowed is what to do where only a rebuild helps and no policy begins one.
const RebuildNotAllowed = "policy.rejoin does not allow a rebuild: run mcctl rebuild on this server, or allow it in pair.toml"

// standing is all that the way back into the pair depends on. The automatic rejoin
// and mcctl rebuild judge by the same function.
type standing struct {
	history wire.HistoryAnswer // of the primary, asked now
	control postgres.Control
	unread  error // the control file could not be read
	broken  bool  // a rewind or a copy in place was cut off
	empty   bool  // there is no data at all
	// unmounted is where the file system of the data directory was and is not now.
	unmounted string
	// last is the newest position known here and on which timeline it was written; of
	// a standby that runs what it received, else what the control file says.
	last   pair.LSN
	lastOn pair.Timeline
	// own is where the timelines before lastOn ended; nil: there are none, or that is not known.
	own      []postgres.Fork
	stranded bool // the primary has removed the log that follows
	// unstartable: what it has removed is what this server needs to let anybody in.
	unstartable bool
	receives    bool // it was connected to the primary, which then has that log
	asStandby   bool // it was last a standby, so its log ends without a shutdown checkpoint
	clean       bool // it was a primary and shut down in good order
	policy      []config.Rejoin
	command     bool   // the site has its own way to copy
	asked       string // wire.Way…; empty: nobody asked, the supervisor decides by policy
	other       pair.Server
}

// way is a decision how to come back.
type way struct {
	name string // wire.Way…
	why  string
	// extra is how much log is here that the primary's history lacks; -1: not known.
	extra int64
	// fallback allows a copy when a rewind fails.
	fallback bool
}

// choose finds the way back. It is pure. The error says why there is none (S4).
func (s standing) choose() (way, error) {
	extra := s.extra()
	switch {
	case s.unmounted != "" && s.asked == "": // first: what is half made may be there too
		return way{}, fmt.Errorf("the data directory is empty, and no file system is mounted at %s, which held it: mount it; if the data shall be here from now on: mcctl rebuild, on this server", s.unmounted)
	case s.broken:
		return s.copyBecause("the data directory is half rewound or half copied", -1)
	case s.empty:
		return s.copyBecause("the data directory is empty", 0)
	case s.unread != nil:
		return s.copyBecause(fmt.Sprintf("the data directory cannot be used: %v", s.unread), -1)
	case s.control.SystemID != s.history.SystemID:
		return way{}, fmt.Errorf("the data directory is of cluster %d, %s is of %d: they were never copies of each other; check data_directory", s.control.SystemID, s.other, s.history.SystemID)
	}
	switch s.asked {
	case wire.WayCopy, wire.WayCommand:
		return way{name: s.asked, why: "the operator asked for it", extra: extra}, nil
	case wire.WayRewind:
		return s.rewindBecause("the operator asked for it", extra, false)
	}
	return s.byHistory(extra)
}

// byHistory compares what is here with what the primary has.
func (s standing) byHistory(extra int64) (way, error) {
	switch {
	case s.unstartable:
		return s.copyBecause(fmt.Sprintf("%s has removed log that this server needs to start", s.other), 0)
	case s.follows() && s.stranded:
		return s.copyBecause(fmt.Sprintf("%s has removed the log that comes after %s, which is where this server stands", s.other, s.last), 0)
	case s.follows():
		return way{name: wire.WayStraight, why: "nothing here is missing there"}, nil
	case s.history.Timeline <= max(s.control.Timeline, s.lastOn) && s.asked == "":
		return way{}, fmt.Errorf("this server is on timeline %d, %s only on %d, and their histories part (%s): which data is right is for an operator to say; to give up what is here: mcctl rebuild, on this server",
			max(s.control.Timeline, s.lastOn), s.other, s.history.Timeline, s.surplus(extra))
	case s.history.Timeline <= max(s.control.Timeline, s.lastOn):
		return s.copyBecause(fmt.Sprintf("%s; %s is not on a newer timeline, so a rewind would do nothing", s.surplus(extra), s.other), extra)
	case !s.may(config.Rewind):
		return s.copyBecause("policy.rejoin does not allow rewind", extra)
	}
	return s.rewindBecause(s.surplus(extra), extra, true)
}

func (s standing) rewindBecause(why string, extra int64, fallback bool) (way, error) {
	switch {
	case !s.control.WALLogHints && !s.control.Checksums && fallback:
		return s.copyBecause("the server has neither wal_log_hints nor checksums, which a rewind needs", extra)
	case !s.control.WALLogHints && !s.control.Checksums:
		return way{}, fmt.Errorf("rewind is not possible: the server has neither wal_log_hints nor checksums; take --way copy, and set wal_log_hints = on for the next time")
	case s.history.Timeline <= max(s.control.Timeline, s.lastOn):
		return way{}, fmt.Errorf("rewind is not possible: %s is on timeline %d, this server on %d, and pg_rewind needs a newer one; take --way copy", s.other, s.history.Timeline, max(s.control.Timeline, s.lastOn))
	}
	return way{name: wire.WayRewind, why: why, extra: extra, fallback: fallback}, nil
}

func (s standing) copyBecause(why string, extra int64) (way, error) {
	if !s.may(config.Rebuild) {
		return way{}, fmt.Errorf("%s, and %s", why, RebuildNotAllowed)
	}
	w := way{name: wire.WayCopy, why: why, extra: extra}
	if s.command && s.asked != wire.WayCopy {
		w.name = wire.WayCommand
	}
	return w, nil
}

// may: what an operator asks for needs no policy.
func (s standing) may(r config.Rejoin) bool { return s.asked != "" || slices.Contains(s.policy, r) }

// follows: the primary's history holds everything that is here. The shutdown
// checkpoint was the last record of a primary: whoever has its first byte has it
// all. A primary that crashed must recover before it can be told.
func (s standing) follows() bool {
	if s.clean {
		return board.Contains(s.history, s.own, s.control.Timeline, s.control.Checkpoint+1)
	}
	return s.asStandby && board.Contains(s.history, s.own, s.lastOn, s.last)
}

// ahead: a running standby holds log that its primary lacks and no rewind takes back.
func (s standing) ahead(of wire.HistoryAnswer) bool {
	return s.last != 0 && of.Timeline <= s.lastOn && !board.Contains(of, s.own, s.lastOn, s.last)
}

// extra is how many bytes are here that the primary's history lacks.
func (s standing) extra() int64 {
	if s.last == 0 {
		return -1
	}
	end, known := board.End(s.history, s.own, s.lastOn)
	if !known {
		return -1
	}
	return int64(end.Behind(s.last))
}

// surplus says which side has the extra bytes.
func (s standing) surplus(extra int64) string {
	switch {
	case extra < 0 && s.last != 0:
		return fmt.Sprintf("timeline %d, on which this server stands at %s, is not in the history of %s", s.lastOn, s.last, s.other)
	case extra < 0:
		return fmt.Sprintf("how much is here that %s lacks cannot be told", s.other)
	case extra == 0 && !s.asStandby && !s.clean:
		return fmt.Sprintf("this server crashed as a primary and may hold log that %s lacks", s.other)
	}
	return fmt.Sprintf("this server holds at least %d bytes of log that %s lacks, up to %s", extra, s.other, s.last)
}
