package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func theirs(mode pair.Mode) record.Record {
	return record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: mode, Revision: 9}
}

// snapshot is every file below a directory with its mode, size and time.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		}
		return err
	}))
	return all
}

// comesBack lets a stopped server decide on its way back and tells whether anything
// in the data directory has changed.
func comesBack(t *testing.T, h *Hands, history wire.HistoryAnswer, broken bool) (untouched bool, err error) {
	t.Helper()
	data := h.Config.Server.DataDirectory
	before := snapshot(t, data)
	at := h.standing("")
	at.broken, at.history = broken, history
	h.readFiles(&at)
	err = h.comeBack(within(t), at, wire.RebuildRequest{})
	return maps.Equal(before, snapshot(t, data)), err
}

// wayBack is a way of server1 back to a server2 that took over.
type wayBack struct {
	name  string
	ways  []config.Rejoin
	crash bool
	// history is server2's when server1 stopped as its control file says.
	history func(c postgres.Control) wire.HistoryAnswer
	broken  bool
	says    []string // empty: straight
}

// everyWay is the most that a policy allows.
var everyWay = []config.Rejoin{config.Rewind, config.Rebuild}

func waysBack() []wayBack {
	return []wayBack{
		{
			name:    "shut down in order, and the fork comes after",
			history: func(c postgres.Control) wire.HistoryAnswer { return forked(c, c.Checkpoint+0x80) },
		},
		{
			name:    "the fork is before the shutdown checkpoint's first byte",
			history: func(c postgres.Control) wire.HistoryAnswer { return forked(c, c.Checkpoint) },
			says:    []string{"policy.rejoin does not allow rewind", "policy.rejoin does not allow a rebuild"},
		},
		{
			name: "crashed, whatever the fork", crash: true,
			history: func(c postgres.Control) wire.HistoryAnswer { return forked(c, c.Checkpoint+0x1000000) },
			says:    []string{"policy.rejoin does not allow rewind", "policy.rejoin does not allow a rebuild"},
		},
		{
			name: "a copy of the same timeline, and the other has gone on",
			history: func(c postgres.Control) wire.HistoryAnswer {
				return wire.HistoryAnswer{SystemID: c.SystemID, Timeline: c.Timeline, Insert: c.Checkpoint + 0x1000}
			},
		},
		{
			name: "no newer timeline there, and it lacks what is here", ways: everyWay,
			history: func(c postgres.Control) wire.HistoryAnswer {
				return wire.HistoryAnswer{SystemID: c.SystemID, Timeline: c.Timeline, Insert: c.Checkpoint}
			},
			says: []string{"which data is right is for an operator to say"},
		},
		{
			name: "a history without our timeline",
			history: func(c postgres.Control) wire.HistoryAnswer {
				return wire.HistoryAnswer{SystemID: c.SystemID, Timeline: c.Timeline + 2, Forks: []wire.Fork{{Timeline: c.Timeline + 1, LSN: c.Checkpoint + 0x1000}}}
			},
			says: []string{"policy.rejoin does not allow rewind"},
		},
		{
			name: "another cluster", ways: everyWay,
			history: func(c postgres.Control) wire.HistoryAnswer {
				h := forked(c, c.Checkpoint+0x80)
				h.SystemID++
				return h
			},
			says: []string{"never copies of each other", "check data_directory"},
		},
		{
			name: "half rewound", ways: []config.Rejoin{config.Rewind}, broken: true,
			history: func(c postgres.Control) wire.HistoryAnswer { return forked(c, c.Checkpoint+0x80) },
			says:    []string{"half rewound", "policy.rejoin does not allow a rebuild"},
		},
	}
}

func TestTheWayBack(t *testing.T) {
	for _, c := range waysBack() {
		t.Run(c.name, func(t *testing.T) {
			h, other := newHands(t, theirs(pair.Alone))
			h.Config.Pair.Policy.Rejoin = c.ways
			if c.crash {
				crashed(t, h)
			}
			untouched, err := comesBack(t, h, c.history(control(t, h)), c.broken)
			if len(c.says) == 0 {
				ok(t, err)
			} else {
				fails(t, err, c.says...)
			}
			if !untouched || len(other.asked) > 0 {
				t.Errorf("the data is untouched %v, asked %q", untouched, other.asked)
			}
		})
	}
}

// One that was restored from a backup has an archive to replay first.
func TestTheNewStandbyIsWaitedForAsLongAsItGetsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, stops, streams := time.Now(), time.Duration(math.MaxInt64), 20*streamPatience
		h := &Hands{Board: board.NewBoard()}
		h.Look = func() {
			h.Board.Note(func(s *board.Sight) {
				s.Look.Replayed = pair.LSN(min(time.Since(began), stops) / (streamPatience - time.Second))
				if time.Since(began) > streams {
					s.Look.Receiver.Status = "streaming"
				}
			})
		}
		ok(t, h.awaitStream(t.Context()))
		h.Board = board.NewBoard()
		began, stops = time.Now(), 10*streamPatience
		fails(t, h.awaitStream(t.Context()), "the new standby streams", "deadline")
		if gaveUp := time.Since(began); gaveUp < stops || gaveUp > stops+2*streamPatience {
			t.Errorf("given up after %s, and replay stopped after %s", gaveUp, stops)
		}
	})
}

// forked is the history of a server that took over at lsn.
func forked(c postgres.Control, lsn pair.LSN) wire.HistoryAnswer {
	return wire.HistoryAnswer{
		SystemID: c.SystemID, Timeline: c.Timeline + 1, CheckpointTimeline: c.Timeline + 1,
		Insert: lsn + 0x1000, Forks: []wire.Fork{{Timeline: c.Timeline, LSN: lsn}},
	}
}

// S4: nothing is rewound or replaced unless the new primary was reached now.
func TestNothingIsTouchedWhenTheNewPrimaryIsNotReached(t *testing.T) {
	h, other := newHands(t, theirs(pair.Alone))
	other.answer = func(context.Context, string, any) (any, error) { return nil, wire.ErrNoAnswer }
	data := filepath.Dir(h.Config.Server.DataDirectory)
	before := snapshot(t, data)
	err := h.Rejoin(within(t))
	fails(t, err, "ask server2 for its history")
	if !errors.Is(err, wire.ErrNoAnswer) || !maps.Equal(before, snapshot(t, data)) {
		t.Errorf("%v, or the data has changed", err)
	}
	// Its supervisor answers, its PostgreSQL does not: neither rewind nor copy begins.
	h.Config.Pair.Policy.Rejoin = everyWay
	c := control(t, h)
	untouched, err := comesBack(t, h, forked(c, c.Checkpoint), false)
	fails(t, err, "connect to source")
	if !untouched {
		t.Error("the data has changed")
	}
}

// placeless is a server that has no place for a tablespace of its source.
type placeless struct{ Postgres }

func (placeless) Rewind(context.Context, postgres.Source, postgres.RewindOptions) error {
	return fmt.Errorf("rewind: %w", postgres.ErrNoPlace)
}

// It is for an operator to make one: a copy would need it as well.
func TestNothingIsCopiedWhereARewindWaitsForAPlace(t *testing.T) {
	h, other := newHands(t, theirs(pair.Alone))
	other.answer = func(context.Context, string, any) (any, error) {
		return wire.HistoryAnswer{Record: theirs(pair.Alone)}, nil
	}
	h.Config.Pair.Policy.Rejoin, h.Postgres = everyWay, placeless{h.Postgres}
	err := h.goThe(within(t), way{name: wire.WayRewind, fallback: true}, h.standing(""), wire.RebuildRequest{})
	if _, none := h.Rebuilds.Get(""); !errors.Is(err, postgres.ErrNoPlace) || none == nil {
		t.Errorf("%v; or a copy was begun", err)
	}
}

// S4: only the open primary of the newest record is followed.
func TestAHistoryCountsOnlyFromWhomTheRecordNames(t *testing.T) {
	older, ours := copyOf(3, 8, pair.Alone), copyOf(5, 10, pair.Alone)
	older.Primary = "server2"
	for _, c := range []struct {
		name         string
		reigns, here record.Record
		counts       bool
	}{
		{"the same record", theirs(pair.Alone), theirs(pair.Alone), true},
		{"a newer one there", theirs(pair.Alone), older, true},
		{"an older term there", older, theirs(pair.Alone), false},
		{"it names us there", ours, theirs(pair.Alone), false},
		{"it names us here", theirs(pair.Alone), ours, false},
		{"none there", record.Record{}, theirs(pair.Alone), false},
	} {
		h, other := newHands(t, c.here)
		other.answer = func(context.Context, string, any) (any, error) { return wire.HistoryAnswer{Record: c.reigns}, nil }
		if _, err := h.history(within(t)); (err == nil) != c.counts {
			t.Errorf("%s: %v, want it to count %v", c.name, err, c.counts)
		}
	}
}

// S4: what was decided while the primary was alone is not done once it is paired.
func TestNothingIsReplacedOnceThePairIsPaired(t *testing.T) {
	for _, c := range []struct {
		there, here pair.Mode
		may         bool
	}{{pair.Alone, pair.Alone, true}, {pair.Paired, pair.Alone, false}, {pair.Alone, pair.Paired, false}} {
		h, other := newHands(t, theirs(c.here))
		other.answer = func(context.Context, string, any) (any, error) {
			return wire.HistoryAnswer{Record: theirs(c.there)}, nil
		}
		if err := h.mayReplace(within(t)); (err == nil) != c.may {
			t.Errorf("%s there, %s here: %v, want that it may %v", c.there, c.here, err, c.may)
		}
	}
}

func TestRejoinStopsWhatRunsAndAsksAfterwards(t *testing.T) {
	h, other := newHands(t, theirs(pair.Alone))
	started(t, h)
	other.answer = func(_ context.Context, kind string, _ any) (any, error) {
		if _, running := h.Postgres.Postmaster(); running {
			t.Error("asked while PostgreSQL still runs: what it writes next is not in the answer")
		}
		return nil, errPlanned
	}
	fails(t, h.Rejoin(within(t)), errPlanned.Error())
	if c := control(t, h); !c.State.CleanPrimary() {
		t.Errorf("it was left %s", c.State)
	}
}

// Every start of a supervisor recovers; nearly always there is nothing to do.
func TestRecoverOfNothingIsNothing(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	before := snapshot(t, filepath.Dir(h.Config.Server.DataDirectory))
	ok(t, h.Recover())
	if !maps.Equal(before, snapshot(t, filepath.Dir(h.Config.Server.DataDirectory))) {
		t.Error("something has changed")
	}
	if _, err := os.Stat(h.KeepDir()); !os.IsNotExist(err) {
		t.Errorf("the keeping directory: %v", err)
	}
}

func TestUpstreamIsTheOtherServersReplicationAddress(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	h.Config.Pair.Servers["server2"] = config.Endpoint{Replication: "[2001:db8::2]:5433"}
	h.Config.Server.Replication = config.Replication{User: "repl", Passfile: "/etc/mc/passfile", Options: "sslmode=verify-full"}
	u := h.upstream()
	if u.Host != "2001:db8::2" || u.Port != 5433 || u.User != "repl" || u.Passfile != "/etc/mc/passfile" || u.ApplicationName != "server1" || !strings.Contains(u.Options, "verify-full") {
		t.Errorf("upstream is %+v", u)
	}
}
