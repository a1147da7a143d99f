package board

import (
	"testing"
	"time"

	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

const now = 100 * time.Second

var limits = Limits{
	Me: "server1", KeeperMayBeLost: true,
	HeartbeatTimeout: 2 * time.Second, IsolationTimeout: 5 * time.Second, CommitStallMax: 2 * time.Second, AttachMaxLag: 100, AttachSettleMax: 5 * time.Minute, FencingDelay: 7 * time.Second,
}

func paired(rev record.Revision) record.Record {
	return record.Record{Pair: "p", Term: 1, Primary: "server1", Mode: pair.Paired, Revision: rev}
}

func alone(rev record.Revision) record.Record {
	r := paired(rev)
	r.Mode = pair.Alone
	return r
}

// serving is a primary with everything well.
func serving() Sight {
	return Sight{
		Known: true, PID: 7, LookAt: now, Started: time.Second,
		Look:   postgres.Look{Flush: 1000, Peer: &postgres.Sender{State: "streaming", Flush: 1000}},
		Link:   wire.LinkState{Connected: true, LastHeard: now},
		Heard:  now,
		Report: wire.Report{Postgres: wire.ReportStandby, Failover: true}, ReportAt: now,
		Record: paired(2), Copy: paired(2), Confirmed: true, KeeperReached: true,
	}
}

func TestClassify(t *testing.T) {
	want := decide.Facts{
		Record: decide.RecordMine, Mode: decide.Paired, Keeper: decide.KeeperReached, Postgres: decide.PostgresOpen,
		Data: decide.DataCrashed, Peer: decide.PeerHere, PeerPG: decide.PeerPGStandby, Stream: decide.StreamClose,
	}
	if got := limits.Classify(serving(), now); got != want {
		t.Fatalf("all is well:\n%+v\nwant\n%+v", got, want)
	}
	for _, c := range []struct {
		name   string
		change func(*Sight)
		want   func(*decide.Facts)
	}{
		{"heard just within the timeout", func(s *Sight) { s.Heard = now - 2*time.Second + 1 }, func(*decide.Facts) {}},
		{"silent for the timeout", func(s *Sight) { s.Heard = now - 2*time.Second }, func(f *decide.Facts) { f.Peer, f.PeerPG = decide.PeerLost, decide.PeerPGBusy }},
		{"silent, and its port too", func(s *Sight) { s.Heard, s.Port = now-2*time.Second, PortSilent }, func(f *decide.Facts) { f.Peer, f.PeerPG = decide.PeerLost, decide.PeerPGSilent }},
		{"refused", func(s *Sight) { s.Link = wire.LinkState{Refused: true}; s.Port = PortRefused }, func(f *decide.Facts) { f.Peer, f.PeerPG = decide.PeerRefused, decide.PeerPGDown }},
		{"refused, yet its own connection lives", func(s *Sight) { s.Link, s.Inbound = wire.LinkState{Refused: true}, true }, func(f *decide.Facts) { f.Peer = decide.PeerQuiet }},
		{"supervisor gone, PostgreSQL answers", func(s *Sight) { s.Link = wire.LinkState{Refused: true}; s.Port = PortAnswers }, func(f *decide.Facts) { f.Peer = decide.PeerRefused }},
		{"lag at the limit", func(s *Sight) { s.Look.Flush = 1100 }, func(*decide.Facts) {}},
		{"lag above it", func(s *Sight) { s.Look.Flush = 1101 }, func(f *decide.Facts) { f.Stream = decide.StreamBehind }},
		{"alone, the standby is still on the former timeline", func(s *Sight) { s.Record, s.Copy, s.Look.Timeline, s.Report.Timeline = alone(3), alone(3), 2, 1 }, func(f *decide.Facts) {
			f.Mode, f.Stream = decide.Alone, decide.StreamBehind
		}},
		{"alone, the standby has come over", func(s *Sight) { s.Record, s.Copy, s.Look.Timeline, s.Report.Timeline = alone(3), alone(3), 2, 2 }, func(f *decide.Facts) {
			f.Mode = decide.Alone
		}},
		{"commits wait, not long", func(s *Sight) { s.Waiting = now - 2*time.Second + 1 }, func(*decide.Facts) {}},
		{"commits wait too long", func(s *Sight) { s.Waiting = now - 2*time.Second }, func(f *decide.Facts) { f.Stall = decide.Stalled }},
		{"nobody has looked yet", func(s *Sight) { s.Known, s.PID, s.LookAt = false, 0, 0 }, func(f *decide.Facts) {
			f.Postgres, f.Data, f.Stream = decide.PostgresStarting, decide.DataFollower, decide.StreamNone
		}},
		{"down, shut down in order", func(s *Sight) { s.PID, s.LookAt, s.Control.State = 0, 0, postgres.ShutDown }, func(f *decide.Facts) {
			f.Postgres, f.Data, f.Stream = decide.PostgresDown, decide.DataClean, decide.StreamNone
		}},
		{"the keeper is not reached", func(s *Sight) { s.KeeperReached, s.KeeperLost = false, now-9*time.Second }, func(f *decide.Facts) { f.Keeper = decide.KeeperUnreached }},
		{"nor is the peer", func(s *Sight) {
			s.KeeperReached, s.KeeperLost, s.Heard, s.Port = false, now-9*time.Second, now-5*time.Second, PortSilent
		}, func(f *decide.Facts) {
			f.Keeper, f.Peer, f.PeerPG = decide.KeeperIsolated, decide.PeerLost, decide.PeerPGSilent
		}},
		{"pledged: the keeper still shows the revision the copy was made from", func(s *Sight) { s.Record, s.Copy = alone(2), paired(2) }, func(f *decide.Facts) { f.Mode = decide.Pledged }},
		{"alone: the keeper has moved on since", func(s *Sight) { s.Record, s.Copy = alone(3), paired(2) }, func(f *decide.Facts) { f.Mode = decide.Alone }},
		{"the other server's failover is off", func(s *Sight) { s.Report.Failover = false }, func(f *decide.Facts) { f.Failover = decide.FailoverOff }},
		{"it was off when the other server fell silent", func(s *Sight) { s.Heard, s.Port, s.PeerFailoverOff = now-2*time.Second, PortSilent, true }, func(f *decide.Facts) {
			f.Peer, f.PeerPG, f.Failover = decide.PeerLost, decide.PeerPGSilent, decide.FailoverOff
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := serving(), want
			c.change(&s)
			c.want(&f)
			if got := limits.Classify(s, now); got != f {
				t.Errorf("\n%+v\nwant\n%+v", got, f)
			}
		})
	}
}

func TestRecordIsReliedOnOnlyWhenItMayBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Sight)
		want   decide.Record
	}{
		{"T5: own copy says alone, nobody answers", func(s *Sight) { s.Record, s.Copy, s.Started = alone(2), alone(2), now-2*time.Second }, decide.RecordMine},
		{"T5: not before somebody could answer", func(s *Sight) { s.Record, s.Copy = alone(2), alone(2) }, decide.RecordClaimed},
		{"promoted, and killed before the copy was saved", func(s *Sight) {
			s.Record.Primary, s.Copy.Primary = "server2", "server2"
			s.PID, s.LookAt = 7, now
		}, decide.RecordClaimed},
		{"open, and the keeper names the other", func(s *Sight) {
			s.Record.Primary, s.Copy.Primary = "server2", "server2"
			s.PID, s.LookAt, s.Confirmed = 7, now, true
		}, decide.RecordTheirs},
		{"promoted, and not looked at yet", func(s *Sight) {
			s.Record.Primary, s.Copy.Primary = "server2", "server2"
			s.PID = 7
		}, decide.RecordClaimed},
		{"starts, and the keeper names the other", func(s *Sight) {
			s.Record.Primary, s.Copy.Primary = "server2", "server2"
			s.PID, s.Confirmed = 7, true
		}, decide.RecordTheirs},
		{"starts as a standby, and nobody has told the record", func(s *Sight) {
			s.Record.Primary, s.Copy.Primary = "server2", "server2"
			s.PID, s.Marked = 7, true
		}, decide.RecordTheirs},
		{"T6: own copy says paired, nobody asked", func(*Sight) {}, decide.RecordClaimed},
		{"T6: read", func(s *Sight) { s.Confirmed, s.KeeperReached = true, true }, decide.RecordMine},
		{"T6: read once, and the keeper is lost since", func(s *Sight) { s.Confirmed = true }, decide.RecordClaimed},
		{"a running service is not disturbed", func(s *Sight) { s.PID, s.LookAt = 7, now }, decide.RecordMine},
		{"a running standby is not a service", func(s *Sight) { s.PID, s.LookAt, s.Look.InRecovery = 7, now, true }, decide.RecordClaimed},
		{"alone, but the other took a newer term", func(s *Sight) {
			s.Copy = alone(2)
			s.Record = record.Record{Pair: "p", Term: 2, Primary: "server2", Mode: pair.Alone, Revision: 3}
		}, decide.RecordTheirs},
		{"no record", func(s *Sight) { s.Record, s.Copy = record.Record{}, record.Record{} }, decide.RecordUnread},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sight{Known: true, Started: now, Record: paired(2), Copy: paired(2)}
			c.change(&s)
			if got := limits.Classify(s, now).Record; got != c.want {
				t.Errorf("record is %s, want %s", got, c.want)
			}
		})
	}
}

// Without an arbiter the own copy is all that the keeper has, and may be an old one: the
// other server is waited for, as long as silence is not yet its death.
func TestWithoutAnArbiterTheOtherServerGetsTheTimeToSpeak(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Sight)
		want   decide.Record
	}{
		{"at the start", func(*Sight) {}, decide.RecordClaimed},
		{"it lives, and has not said yet what it knows", func(s *Sight) { s.Heard = now }, decide.RecordClaimed},
		{"it has said what it knows", func(s *Sight) { s.Heard, s.ReportAt = now, now }, decide.RecordMine},
		{"it has not, all the time that it had", func(s *Sight) { s.Started = now - 2*time.Second }, decide.RecordMine},
		{"open", func(s *Sight) { s.PID, s.LookAt = 7, now }, decide.RecordMine},
	} {
		l := limits
		l.KeeperMayBeLost = false
		s := Sight{Known: true, Started: now, Record: alone(2), Copy: alone(2), KeeperReached: true, Confirmed: true}
		c.change(&s)
		if got := l.Classify(s, now).Record; got != c.want {
			t.Errorf("%s: record is %s, want %s", c.name, got, c.want)
		}
	}
}

func TestContains(t *testing.T) {
	h := wire.HistoryAnswer{Timeline: 3, Insert: 900, Forks: []wire.Fork{{Timeline: 1, LSN: 500}, {Timeline: 2, LSN: 700}}}
	for _, c := range []struct {
		on   pair.Timeline
		at   pair.LSN
		want bool
	}{{1, 500, true}, {1, 501, false}, {2, 700, true}, {2, 701, false}, {3, 900, true}, {3, 901, false}, {4, 1, false}} {
		if got := Contains(h, nil, c.on, c.at); got != c.want {
			t.Errorf("timeline %d at %s: %v, want %v", c.on, c.at, got, c.want)
		}
	}
}

// Two servers that were promoted apart may both call the timeline 2 that they began.
func TestATimelineOfTheSameNumberIsTheSameOnlyIfItForkedAtTheSamePlace(t *testing.T) {
	h := wire.HistoryAnswer{Timeline: 3, Insert: 900, Forks: []wire.Fork{{Timeline: 1, LSN: 500}, {Timeline: 2, LSN: 700}}}
	for _, c := range []struct {
		on   pair.Timeline
		own  []postgres.Fork
		want bool
	}{
		{2, []postgres.Fork{{Timeline: 1, LSN: 500}}, true},
		{2, []postgres.Fork{{Timeline: 1, LSN: 400}}, false},
		{3, []postgres.Fork{{Timeline: 1, LSN: 500}, {Timeline: 2, LSN: 700}}, true},
		{3, []postgres.Fork{{Timeline: 1, LSN: 500}, {Timeline: 2, LSN: 600}}, false},
		{3, []postgres.Fork{{Timeline: 1, LSN: 500}}, false},
		{3, nil, true}, // not known
	} {
		if got := Contains(h, c.own, c.on, 600); got != c.want {
			t.Errorf("timeline %d after %v: %v, want %v", c.on, c.own, got, c.want)
		}
	}
	h.Forks = h.Forks[1:] // the file of timeline 2 was missing when 3 began
	if !Contains(h, []postgres.Fork{{Timeline: 1, LSN: 500}}, 2, 600) {
		t.Error("it parts from what is not known there")
	}
}

func TestLearnKeepsTheNewest(t *testing.T) {
	var s Sight
	s.Learn(paired(5), false)
	s.Learn(alone(4), true)
	s.Learn(record.Record{}, true)
	if s.Record != paired(5) || s.Confirmed {
		t.Errorf("an old record was believed: %+v", s.Record)
	}
	s.Learn(alone(5), true) // the keeper does not know of the pledge
	if s.Record != alone(5) || !s.Confirmed {
		t.Errorf("the keeper's word did not count: %+v", s.Record)
	}
	s.Learn(paired(6), false)
	if s.Record != paired(6) || s.Confirmed {
		t.Errorf("hearsay counts as confirmed: %+v", s.Record)
	}
}

func TestNextIsTheSoonestAge(t *testing.T) {
	s := serving()
	for _, c := range []struct {
		name   string
		change func(*Sight)
		want   time.Duration
	}{
		{"a heartbeat that stays away", func(s *Sight) { s.Heard = now - 500*time.Millisecond }, 1500 * time.Millisecond},
		{"a commit that waits", func(s *Sight) { s.Waiting = now - 1900*time.Millisecond }, 100 * time.Millisecond},
		{"lost already: the isolation comes next", func(s *Sight) { s.Heard, s.KeeperLost = now-3*time.Second, now-4500*time.Millisecond }, 500 * time.Millisecond},
		{"no longer than asked", func(s *Sight) { s.Heard = now - 10*time.Second }, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s
			c.change(&s)
			if got := limits.Next(s, now, 3*time.Second); got != c.want {
				t.Errorf("next in %s, want %s", got, c.want)
			}
		})
	}
}
