package act

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// here is a stopped server1 that was last what the change says, under a server2 that
// left timeline 1 at 1000 and has come to 5000 on timeline 2.
func here(change func(*standing)) standing {
	s := standing{
		control: postgres.Control{SystemID: 7, Timeline: 1, Checkpoint: 900, WALLogHints: true}, last: 900, lastOn: 1, asStandby: true,
		history: wire.HistoryAnswer{SystemID: 7, Timeline: 2, Insert: 5000, Forks: []wire.Fork{{Timeline: 1, LSN: 1000}}},
		policy:  everyWay, other: "server2",
	}
	change(&s)
	return s
}

func TestChoosingTheWay(t *testing.T) {
	ahead := func(s *standing) { s.last = 1500 }
	sameTimeline := func(s *standing) { s.history.Timeline, s.history.Forks, s.last = 1, nil, 7000 }
	foreign := func(s *standing) { s.lastOn, s.control.Timeline = 3, 3 }
	and := func(all ...func(*standing)) func(*standing) {
		return func(s *standing) {
			for _, change := range all {
				change(s)
			}
		}
	}
	promoted := func(s *standing) { // by itself, and shut down in good order
		s.control.Timeline, s.control.Checkpoint, s.lastOn, s.last, s.asStandby, s.clean = 2, 1200, 2, 1200, false, true
	}
	forkedAt := func(lsn pair.LSN) func(*standing) {
		return func(s *standing) { s.own = []postgres.Fork{{Timeline: 1, LSN: lsn}} }
	}
	asked := func(way string) func(*standing) { return func(s *standing) { s.asked = way } }
	for _, c := range []struct {
		name   string
		is     func(*standing)
		way    string // empty: refused
		extra  int64
		reason string
	}{
		{"a standby that is behind", func(*standing) {}, wire.WayStraight, 0, "nothing here is missing there"},
		{"a standby that is ahead of the fork", ahead, wire.WayRewind, 500, "holds at least 500 bytes of log that server2 lacks"},
		{"the same without hints", and(ahead, func(s *standing) { s.control.WALLogHints = false }), wire.WayCopy, 500, "neither wal_log_hints nor checksums"},
		{"the same with checksums", and(ahead, func(s *standing) { s.control.WALLogHints, s.control.Checksums = false, true }), wire.WayRewind, 500, ""},
		{"rewind not allowed", and(ahead, func(s *standing) { s.policy = []config.Rejoin{config.Rebuild} }), wire.WayCopy, 500, "policy.rejoin does not allow rewind"},
		{"nothing allowed", and(ahead, func(s *standing) { s.policy = nil }), "", 0, "mcctl rebuild"},
		{"nothing allowed, but asked for", and(ahead, asked(wire.WayAuto), func(s *standing) { s.policy = nil }), wire.WayRewind, 500, ""},
		{"a command of the site", and(ahead, func(s *standing) { s.policy, s.command = []config.Rejoin{config.Rebuild}, true }), wire.WayCommand, 500, ""},
		{"a copy asked for in spite of it", and(asked(wire.WayCopy), func(s *standing) { s.command = true }), wire.WayCopy, 0, "the operator asked"},
		{"the log has gone there", func(s *standing) { s.stranded = true }, wire.WayCopy, 0, "server2 has removed the log that comes after 0/384"},
		{"the log has gone, and nothing is allowed", func(s *standing) { s.stranded, s.policy = true, nil }, "", 0, "policy.rejoin does not allow a rebuild"},
		{"ahead on one timeline", sameTimeline, "", 0, "holds at least 2000 bytes of log that server2 lacks"},
		{"ahead on one timeline, and asked", and(sameTimeline, asked(wire.WayAuto)), wire.WayCopy, 2000, "not on a newer timeline"},
		{"ahead on one timeline, and a rewind asked", and(sameTimeline, asked(wire.WayRewind)), "", 0, "take --way copy"},
		{"a timeline that is not in the history", foreign, "", 0, "timeline 3, on which this server stands at 0/384, is not in the history of server2"},
		{"the same, asked", and(foreign, asked(wire.WayAuto)), wire.WayCopy, -1, "is not in the history"},
		{"on the same timeline", and(promoted, forkedAt(1000)), wire.WayStraight, 0, "nothing here is missing there"},
		{"on the same, as far as is known", promoted, wire.WayStraight, 0, "nothing here is missing there"},
		{"on another timeline of the same number", and(promoted, forkedAt(1100)), "", 0, "timeline 2, on which this server stands at 0/4B0, is not in the history of server2"},
		{"the same, asked", and(promoted, forkedAt(1100), asked(wire.WayAuto)), wire.WayCopy, -1, "is not in the history"},
		{"a standby on another timeline of the same number", and(promoted, forkedAt(1100), func(s *standing) { s.asStandby, s.clean = true, false }), "", 0, "is not in the history of server2"},
		{"another cluster, whatever is asked", and(asked(wire.WayCopy), func(s *standing) { s.history.SystemID = 8 }), "", 0, "never copies of each other"},
		{"empty", func(s *standing) { s.empty = true }, wire.WayCopy, 0, "the data directory is empty"},
		{"empty, because nothing is mounted", func(s *standing) { s.empty, s.unmounted = true, "/srv" }, "", 0, "no file system is mounted at /srv"},
		{"the same, asked", and(asked(wire.WayAuto), func(s *standing) { s.empty, s.unmounted = true, "/srv" }), wire.WayCopy, 0, "the data directory is empty"},
		{"half copied, and nothing is mounted", func(s *standing) { s.broken, s.empty, s.unmounted = true, true, "/srv" }, "", 0, "no file system is mounted at /srv"},
		{"half copied", func(s *standing) { s.broken = true }, wire.WayCopy, -1, "half"},
		{"empty, and nothing is allowed", func(s *standing) { s.empty, s.policy = true, nil }, "", 0, "run mcctl rebuild on this server"},
		{"crashed as a primary", func(s *standing) { s.asStandby = false }, wire.WayRewind, 0, "crashed as a primary"},
	} {
		w, err := here(c.is).choose()
		said := w.why
		if err != nil {
			said = err.Error()
		}
		if w.name != c.way || (err == nil) != (c.way != "") || !strings.Contains(said, c.reason) || err == nil && w.name != wire.WayStraight && w.extra != c.extra {
			t.Errorf("%s: %+v, %v; want %q with %d extra, saying %q", c.name, w, err, c.way, c.extra, c.reason)
		}
	}
}

// The primary was promoted elsewhere, to the same number, and has written further since.
func TestTheForksHereAreComparedWithThePrimarys(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	ok(t, h.Postgres.MarkStandby())
	pid := started(t, h)
	ok(t, h.Postgres.AskPromotion(pid))
	eventually(t, "it is promoted", func() bool { return control(t, h).State == postgres.InProduction })
	ok(t, h.Postgres.Stop(within(t), pid, postgres.Fast))
	look(h)
	at := h.standing("")
	h.readFiles(&at)
	if len(at.own) != 1 {
		t.Fatalf("timeline %d began at %v", at.lastOn, at.own)
	}
	at.history = wire.HistoryAnswer{SystemID: at.control.SystemID, Timeline: 2, Insert: at.last + 0x1000, Forks: []wire.Fork{wire.Fork(at.own[0])}}
	if w, err := at.choose(); err != nil || w.name != wire.WayStraight {
		t.Errorf("on the same timeline: %+v, %v", w, err)
	}
	at.history.Forks[0].LSN -= 8
	_, err := at.choose()
	fails(t, err, "timeline 2, on which this server stands at", "is not in the history of server2")
}

// full is a disk that has no room.
type full struct{ durable.Disk }

func (full) WriteJSON(string, any, fs.FileMode) error { return syscall.ENOSPC }

func TestARebuildGoesOnAfterACrashUnlessItWasTheSupervisorsOwn(t *testing.T) {
	for _, automatic := range []bool{false, true} {
		path := t.TempDir() + "/rebuild.json"
		r, goesOn, err := LoadRebuilds(durable.Machine, path)
		ok(t, err)
		if goesOn || r.Running() {
			t.Error("a rebuild that nobody asked for")
		}
		_, begun, err := r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{Way: wire.WayCopy}, automatic)
		ok(t, err)
		if _, again, _ := r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false); !begun || again {
			t.Error("two at a time")
		}
		ok(t, r.Enter(wire.RebuildCopying))
		if _, _, err := LoadRebuilds(full{durable.Machine}, path); err != nil {
			t.Errorf("no supervisor starts on a full disk: %v", err)
		}
		r, goesOn, err = LoadRebuilds(durable.Machine, path)
		ok(t, err)
		if goesOn == automatic || r.Running() == automatic {
			t.Errorf("automatic %v: it goes on %v", automatic, goesOn)
		}
	}
}

func TestARebuildIsGivenUpBeforeItsPointOfNoReturnOnly(t *testing.T) {
	r, _, err := LoadRebuilds(durable.Machine, t.TempDir()+"/rebuild.json")
	ok(t, err)
	_, err = r.GiveUp("")
	fails(t, err, "no rebuild is known here")
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	if job, err := r.GiveUp(""); err != nil || job.Phase != wire.RebuildGivenUp || !r.GivenUp() {
		t.Errorf("before anybody works on it: %+v, %v", job, err)
	}
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	work, done := r.Work(t.Context())
	defer done()
	if _, err := r.GiveUp(""); err != nil || work.Err() == nil {
		t.Errorf("the work goes on: %v", err)
	}
	fails(t, r.Enter(wire.RebuildCopying), "given up")
	ok(t, r.End(r.Commit(wire.RebuildSwapping)))
	first, err := r.Get("")
	ok(t, err)
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	ok(t, r.Commit(wire.RebuildSwapping))
	if job, err := r.Get(first.ID); err != nil || !job.Final {
		t.Errorf("who followed the one before is told %+v, %v", job, err)
	}
	_, err = r.GiveUp("")
	fails(t, err, "point of no return (swapping)")
	ok(t, r.End(nil))
	if r.GivenUp() {
		t.Error("done, and held")
	}
}

// A copy that is in its place may wait in vain for log that nobody has any more.
func TestARebuildThatOnlyWaitsForTheNewStandbyIsGivenUp(t *testing.T) {
	r, _, err := LoadRebuilds(durable.Machine, t.TempDir()+"/rebuild.json")
	ok(t, err)
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	ok(t, r.Commit(wire.RebuildSwapping))
	ok(t, r.Commit(wire.RebuildStarting))
	work, done := r.Work(t.Context())
	defer done()
	if _, err := r.GiveUp(""); err != nil || work.Err() == nil {
		t.Errorf("it is waited for all the same: %v", err)
	}
	ok(t, r.End(errors.New("cut off")))
	if job, err := r.Get(""); err != nil || job.Phase != wire.RebuildGivenUp || !job.Committed {
		t.Errorf("%+v, %v", job, err)
	}
}

// What the work was cut off in says only that it was cut off, in its own words.
func TestARebuildThatWasGivenUpDoesNotCountAsFailed(t *testing.T) {
	r, _, err := LoadRebuilds(durable.Machine, t.TempDir()+"/rebuild.json")
	ok(t, err)
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	work, done := r.Work(t.Context())
	_, err = r.GiveUp("")
	ok(t, err)
	done()
	ok(t, r.End(fmt.Errorf("connect to source: %w", work.Err())))
	if job, err := r.Get(""); err != nil || job.Phase != wire.RebuildGivenUp || job.Error != "" {
		t.Errorf("%+v, %v", job, err)
	}
}
