package agent

import (
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/disk"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

func TestPostgresWord(t *testing.T) {
	c := config.Defaults()
	c.Server.Name, c.Pair.Timings.HeartbeatTimeout.Duration = "server1", time.Minute
	a := &Agent{config: &c, limits: limits{&c}}
	open := board.Sight{Known: true, PID: 7, LookAt: 1, Record: rec(1, 2, "server1", pair.Paired)}
	theirs := rec(2, 3, "server2", pair.Paired)
	for _, c := range []struct {
		name   string
		change func(*board.Sight)
		want   string
	}{
		{"open", func(*board.Sight) {}, wire.ReportOpen},
		{"gated", func(s *board.Sight) { s.Gated = true }, wire.ReportGated},
		{"the primary was told to stop", func(s *board.Sight) { s.Task = decide.TaskStop }, wire.ReportResting},
		{"it has stopped", func(s *board.Sight) { s.Task, s.PID = decide.TaskStop, 0 }, wire.ReportResting},
		{"the standby was told to stop", func(s *board.Sight) { s.Task, s.Record, s.Look.InRecovery = decide.TaskStop, theirs, true }, wire.ReportLeaving},
		{"the standby takes leave", func(s *board.Sight) { s.TakesLeave, s.Record, s.Look.InRecovery = true, theirs, true }, wire.ReportLeaving},
		{"it has taken over meanwhile", func(s *board.Sight) { s.TakesLeave = true }, wire.ReportOpen},
		{"nobody has looked yet", func(s *board.Sight) { s.Known, s.PID = false, 0 }, wire.ReportBusy},
		{"being switched", func(s *board.Sight) { s.Doing, s.PID = decide.Switch, 0 }, wire.ReportBusy},
		{"being switched, and it answers nobody", func(s *board.Sight) { s.Doing, s.Hung = decide.Switch, true }, wire.ReportBusy},
		{"being switched, and its disk fails", func(s *board.Sight) { s.Doing, s.DiskFailed = decide.Switch, true }, wire.ReportDown},
		{"coming back", func(s *board.Sight) { s.Doing, s.PID, s.Record = decide.Rejoin, 0, theirs }, wire.ReportBusy},
		{"coming back, on a disk that fails", func(s *board.Sight) { s.Doing, s.DiskFailed, s.Record = decide.Rejoin, true, theirs }, wire.ReportBusy},
		{"hung", func(s *board.Sight) { s.Hung = true }, wire.ReportDown},
		{"its disk fails", func(s *board.Sight) { s.DiskFailed = true }, wire.ReportDown},
		{"standby", func(s *board.Sight) { s.Record, s.Look.InRecovery = theirs, true }, wire.ReportStandby},
		{"the standby's disk fails", func(s *board.Sight) { s.Record, s.Look.InRecovery, s.DiskFailed = theirs, true, true }, wire.ReportDown},
		{"primary, still to be promoted", func(s *board.Sight) { s.Look.InRecovery = true }, wire.ReportStandby},
		{"open, yet the record names the other", func(s *board.Sight) { s.Record = theirs }, wire.ReportDown},
		{"gated, yet the record names the other", func(s *board.Sight) { s.Record, s.Gated = theirs, true }, wire.ReportDown},
		{"open, and no record is known", func(s *board.Sight) { s.Record = rec(0, 0, "", pair.Alone) }, wire.ReportDown},
		{"the primary starts", func(s *board.Sight) { s.LookAt = 0 }, wire.ReportBusy},
		{"the standby starts", func(s *board.Sight) { s.LookAt, s.Record = 0, theirs }, wire.ReportDown},
		{"the standby's supervisor has just started", func(s *board.Sight) { s.LookAt, s.Record, s.Started = 0, theirs, wire.Now() }, wire.ReportBusy},
		{"the primary crashed", func(s *board.Sight) { s.PID, s.Control.State = 0, postgres.InProduction }, wire.ReportDown},
		{"the primary's data is gone", func(s *board.Sight) { s.PID, s.Broken = 0, true }, wire.ReportDown},
		{"the same, but the standby streams from it", func(s *board.Sight) { s.PID, s.Broken, s.Report.Stream = 0, true, "streaming" }, wire.ReportBusy},
		{"the primary was shut down in order", func(s *board.Sight) { s.PID, s.Control.State = 0, postgres.ShutDown }, wire.ReportBusy},
		{"the same, but it does not start any more", func(s *board.Sight) { s.PID, s.Control.State, s.StartsFailed = 0, postgres.ShutDown, 2 }, wire.ReportDown},
		{"named primary, its data was a standby's", func(s *board.Sight) { s.PID, s.Control.State = 0, postgres.InArchiveRecovery }, wire.ReportBusy},
		{"the old primary was shut down in order", func(s *board.Sight) { s.PID, s.Control.State, s.Record = 0, postgres.ShutDown, theirs }, wire.ReportDown},
		{"a paired standby is to be rebuilt", func(s *board.Sight) { s.Task, s.Record, s.Look.InRecovery = decide.TaskRebuild, theirs, true }, wire.ReportLeaving},
		{"the primary has gone alone for that", func(s *board.Sight) {
			s.Task, s.Record, s.Look.InRecovery = decide.TaskRebuild, rec(2, 4, "server2", pair.Alone), true
		}, wire.ReportBusy},
		{"the standby is down", func(s *board.Sight) { s.PID, s.Control.State, s.Record = 0, postgres.ShutDownInRecovery, theirs }, wire.ReportDown},
	} {
		s := open
		c.change(&s)
		if got := a.postgresWord(s); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOnlyDownIsDownToTheWitness(t *testing.T) {
	a := someAgent(t)
	a.board.Set(func(s *board.Sight) {
		s.Known, s.PID, s.LookAt, s.Record, s.Copy = true, 7, 1, rec(1, 2, "server1", pair.Paired), rec(1, 2, "server1", pair.Paired)
	})
	if got := a.witnessReport(); got.Postgres != wire.WitnessUp || got.Known != a.board.Read().Record {
		t.Errorf("open: %+v", got)
	}
	a.board.Set(func(s *board.Sight) { s.Task = decide.TaskStop })
	if got := a.witnessReport(); got.Postgres != wire.WitnessUp {
		t.Errorf("stopped on purpose: %+v", got)
	}
	a.board.Set(func(s *board.Sight) { s.Task, s.PID = decide.NoTask, 0 })
	if got := a.witnessReport(); got.Postgres != wire.WitnessDown {
		t.Errorf("crashed: %+v", got)
	}
}

func TestANewReignIsToldToTheKeeperAtOnceAndToTheOtherFromTheDisk(t *testing.T) {
	a := someAgent(t)
	old, reign := rec(1, 2, "server1", pair.Paired), rec(2, 3, "server2", pair.Alone)
	a.board.Set(func(s *board.Sight) { s.Record, s.Copy = reign, old })
	if got := a.witnessReport().Known; got != reign {
		t.Errorf("the keeper is told %s; it could find an older record again than this server acts upon", got)
	}
	if got := a.report().Record; got != old {
		t.Errorf("the other server is told %s, which a crash here would forget", got)
	}
	a.board.Set(func(s *board.Sight) { s.Copy = reign })
	if got := a.report().Record; got != reign {
		t.Errorf("it is on the disk, yet the other server is told %s", got)
	}
	gone := rec(2, 4, "server2", pair.Paired)
	a.board.Set(func(s *board.Sight) { s.Record = gone })
	if got := a.report().Record; got != gone {
		t.Errorf("within a reign the newest is told, not %s", got)
	}
}

func TestEssenceTellsNewsFromProgress(t *testing.T) {
	a := someAgent(t)
	room := func(free uint64) []board.Place {
		return []board.Place{{Path: "/data", Room: disk.Room{Total: 100 << 30, Free: free}}}
	}
	for _, c := range []struct {
		name   string
		change func(*board.Sight)
		news   bool
	}{
		{"record", func(s *board.Sight) { s.Record = rec(1, 3, "server2", pair.Alone) }, true},
		{"copy", func(s *board.Sight) { s.Copy = rec(1, 3, "server2", pair.Paired) }, true},
		{"postgres", func(s *board.Sight) { s.PID = 0 }, true},
		{"timeline", func(s *board.Sight) { s.Look.Timeline++ }, true},
		{"checkpoint's timeline", func(s *board.Sight) { s.Look.CheckpointTimeline++ }, true},
		{"stream", func(s *board.Sight) { s.Look.Receiver.Status = "streaming" }, true},
		{"failover", func(s *board.Sight) { s.FailoverOff = true }, true},
		{"doing", func(s *board.Sight) { s.Doing, s.Progress = decide.Rejoin, "copying 1 of 9 MB" }, true},
		{"configuration", func(s *board.Sight) { s.ConfigTrouble = "x.conf:1: syntax error" }, true},
		{"disk level", func(s *board.Sight) { s.Places = room(1 << 20) }, true},
		{"insert", func(s *board.Sight) { s.Look.Insert++ }, false},
		{"received", func(s *board.Sight) { s.Look.Received++ }, false},
		{"replayed", func(s *board.Sight) { s.Look.Replayed++ }, false},
		{"room", func(s *board.Sight) { s.Places = room(60 << 30) }, false},
	} {
		s := board.Sight{
			Known: true, PID: 7, LookAt: 1, Record: rec(1, 2, "server1", pair.Paired), Copy: rec(1, 2, "server1", pair.Paired),
			Places: room(80 << 30),
		}
		before := a.essence(s)
		c.change(&s)
		if news := a.essence(s) != before; news != c.news {
			t.Errorf("%s: news %v, want %v", c.name, news, c.news)
		}
	}
	before := a.essence(board.Sight{})
	a.rule.ID = 290
	if a.essence(board.Sight{}) == before {
		t.Error("another rule is no news")
	}
}

func TestDoingShowsProgress(t *testing.T) {
	if got := doingText(board.Sight{Doing: decide.Rejoin}); got != "rejoin" {
		t.Error(got)
	}
	if got := doingText(board.Sight{Doing: decide.Rejoin, Progress: "rewinding"}); got != "rejoin: rewinding" {
		t.Error(got)
	}
}
