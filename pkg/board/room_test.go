package board

import (
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/disk"
)

func roomLimits() Limits {
	l := limits
	l.DiskLow, l.DiskCritical = config.Share{Percent: 10}, config.Share{Percent: 2}
	return l
}

func withFree(percent uint64) Place {
	return Place{Path: "/d", Room: disk.Room{Total: 100000, Free: percent * 1000}}
}

// A switch for want of room needs a disk that is critical here and none that is even
// low there; whatever the numbers are, it never has a reason on both servers at once.
func TestFillingOnOneServerAtATime(t *testing.T) {
	l := roomLimits()
	at := func(percent uint64) Sight {
		s := serving()
		s.Places = []Place{withFree(50), withFree(percent)}
		return s
	}
	for here := range uint64(13) {
		for there := range uint64(13) {
			mine, theirs := at(here), at(there)
			_, mine.Report.DiskLevel = l.Fullest(theirs.Places)
			_, theirs.Report.DiskLevel = l.Fullest(mine.Places)
			a, b := l.Classify(mine, now).Disk == decide.DiskFilling, l.Classify(theirs, now).Disk == decide.DiskFilling
			if want := here < 2 && there >= 10; a != want || a && b {
				t.Errorf("%d %% here, %d %% there: filling %v, there %v", here, there, a, b)
			}
		}
	}
}

// A promotion writes log, and small files beside the data. What is critical for a primary is
// not made one.
func TestNoRoomToTakeOver(t *testing.T) {
	const mb = 1 << 20
	l := roomLimits()
	l.DiskCritical = config.Share{Size: 20 * mb}
	at := func(free uint64) disk.Room { return disk.Room{Total: 1000 * mb, Free: free, Files: 1000, Left: 100} }
	few := at(900 * mb)
	few.Left = promotionFiles - 1
	for _, c := range []struct {
		name      string
		data, log disk.Room
		segment   uint64
		want      string
	}{
		{"room on both", at(900 * mb), at(33 * mb), 16 * mb, ""},
		{"not for two segments of log", at(900 * mb), at(33*mb - 1), 16 * mb, "/log: 3 % (33.0 MB) free, and a promotion needs 33.0 MB and 16 files there: free or add some"},
		{"segments are small", at(900 * mb), at(20 * mb), mb, ""},
		{"segments are small, and room is critical", at(900 * mb), at(20*mb - 1), mb, "/log: 1 % (20.0 MB) free, less than policy.disk_critical: free or add some there, or lower that if it is enough"},
		{"not one block beside the data", at(0), at(900 * mb), 16 * mb, "/data: 0 % (0 B) free, and a promotion needs 1.0 MB and 16 files there: free or add some"},
		{"no more files", few, at(900 * mb), 16 * mb, "/data: 90 % (900.0 MB) free, 1 % of its files, and a promotion needs 1.0 MB and 16 files there: free or add some"},
		{"a full tablespace", at(900 * mb), at(900 * mb), 16 * mb, "/space: 0 % (0 B) free, less than policy.disk_critical: free or add some there, or lower that if it is enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			space := at(900 * mb)
			if c.name == "a full tablespace" {
				space.Free = 0
			}
			if got := l.NoRoom([]disk.Space{{Path: "/data", Room: c.data}, {Path: "/log", Log: true, Room: c.log}, {Path: "/space", Tablespace: true, Room: space}}, c.segment); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestFillingIsNotConcludedFromWhatIsNotKnown(t *testing.T) {
	l := roomLimits()
	for _, c := range []struct {
		name string
		bend func(*Sight)
		want decide.Disk
	}{
		{"critical here, fine there", func(*Sight) {}, decide.DiskFilling},
		{"the other server does not tell", func(s *Sight) { s.Report.DiskLevel = LevelUnknown }, decide.DiskFine},
		{"it is low there", func(s *Sight) { s.Report.DiskLevel = LevelLow }, decide.DiskFine},
		{"only the management directory's", func(s *Sight) { s.Places[0].Measured = true }, decide.DiskFine},
		{"a disk that fails", func(s *Sight) { s.DiskFailed = true }, decide.DiskFailed},
		{"a switch failed just now", func(s *Sight) { s.ReliefFailed = now - reliefPause + 1 }, decide.DiskFine},
		{"a switch failed long ago", func(s *Sight) { s.ReliefFailed = now - reliefPause }, decide.DiskFilling},
	} {
		s := serving()
		s.Places, s.Report.DiskLevel = []Place{withFree(1)}, LevelFine
		c.bend(&s)
		if got := l.Classify(s, now).Disk; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if _, level := l.Fullest([]Place{withFree(50), {Path: "/unknown"}}); level != LevelUnknown {
		t.Errorf("with a disk that is not known all is %q", level)
	}
}

func TestPlaceSaysWhatIsFree(t *testing.T) {
	p := Place{Path: "/d", Room: disk.Room{Total: 100 << 30, Free: 2560 << 20}}
	if got := p.Describe(); got != "/d: 2 % (2.5 GB) free" {
		t.Error(got)
	}
	p.Files, p.Left = 1000, 10
	if got := p.Describe(); got != "/d: 2 % (2.5 GB) free, 1 % of its files" {
		t.Error(got)
	}
}

// However a standby comes and goes, attaches are bounded.
func TestAStandbyThatComesAndGoesIsAttachedLessAndLessOften(t *testing.T) {
	var l Losses
	at, attaches := time.Hour, 0
	for end := at + time.Hour; at < end; {
		at += limits.Steady(l, at)
		attaches++
		at += time.Second // and then it is lost
		l = limits.Lost(l, at)
	}
	if attaches > 20 {
		t.Errorf("%d attaches in an hour", attaches)
	}
	if limits.Steady(l, at) != limits.AttachSettleMax || limits.Steady(l, at+limits.forget()) != 0 {
		t.Errorf("in the end %s, after a quiet time %s", limits.Steady(l, at), limits.Steady(l, at+limits.forget()))
	}
	if l = limits.Lost(l, at+limits.forget()); l.Count != 1 {
		t.Errorf("a loss after a quiet time is number %d", l.Count)
	}
}

func TestSteadyGrowsFromTheThirdLossOn(t *testing.T) {
	var l Losses
	for i, want := range []time.Duration{0, 0, firstSteady, 2 * firstSteady, 4 * firstSteady} {
		l = limits.Lost(l, now)
		if got := limits.Steady(l, now); got != want {
			t.Errorf("after loss %d: %s, want %s", i+1, got, want)
		}
	}
}

// The limit itself: one below, at, and the modes in which nothing settles.
func TestSettling(t *testing.T) {
	for _, c := range []struct {
		name  string
		close time.Duration
		bend  func(*Sight)
		want  decide.Stream
	}{
		{"not for long enough", now - firstSteady + 1, func(*Sight) {}, decide.StreamSettling},
		{"for long enough", now - firstSteady, func(*Sight) {}, decide.StreamClose},
		{"not at all yet", 0, func(*Sight) {}, decide.StreamSettling},
		{"paired", 0, func(s *Sight) { s.Record, s.Copy = paired(3), paired(3) }, decide.StreamClose},
		{"never lost", 0, func(s *Sight) { s.Losses = Losses{} }, decide.StreamClose},
		{"a standby's own", 0, func(s *Sight) { s.Look.InRecovery = true; s.Look.Receiver.Status = "streaming" }, decide.StreamClose},
	} {
		s := serving()
		s.Record, s.Copy = alone(3), alone(3)
		s.Close, s.Losses = c.close, Losses{Count: freeLosses + 1, Last: now - time.Second}
		c.bend(&s)
		if got := limits.Classify(s, now).Stream; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.want == decide.StreamSettling && c.close > 0 {
			if next := limits.Next(s, now, time.Hour); next != 1 {
				t.Errorf("%s: the next turn is in %s", c.name, next)
			}
		}
	}
}
