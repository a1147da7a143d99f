package pair

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// An old primary that waits for an operator is rebuilt by rewind, and its supervisor is
// killed when that begins, or when the data counts as half rewound. The next one goes on, and
// no row is lost.
func TestRewindOfARebuildCutOffGoesOn(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.amend("\n[policy]\nrejoin = []\n")
	kills, old, other := &fault.Counts{}, one, two
	for _, under := range []func(pair.Server) bool{begun, s.keepsOwn} {
		s.meets(wire.RebuildRewinding, func() bool {
			met := s.rewindCutOff(old, other, under)
			old, other = other, old
			if met {
				kills.Add(wire.RebuildRewinding)
			}
			return met
		})
	}
	kills.Promised(t, "mcctl rebuild, by rewind", "kill -9")
}

// begun is as early as a test sees a phase.
func begun(pair.Server) bool { return true }

// keepsOwn tells that a server's own files are out of the way of pg_rewind, which has begun
// to write, or will at once; while it is tried dry the data counts as whole.
func (s *stage) keepsOwn(of pair.Server) bool {
	kept := filepath.Join(s.lab.Mcdir(of), "kept")
	_, none := os.Lstat(kept)
	_, half := os.Lstat(filepath.Join(kept, ".finished"))
	return none == nil && half != nil
}

// rewindCutOff makes a primary the old one, and kills its supervisor when its rewind is under
// way. It tells whether it still was, as it stands on the disk.
func (s *stage) rewindCutOff(old, other pair.Server, under func(pair.Server) bool) (met bool) {
	s.Helper()
	job := s.rewindBegun(old, other, under)
	s.killed(s.lab.Pids().Servers[old].Supervisor)
	met = s.rewinds(old, under)
	end := s.ended(old, job.ID)
	if end.Phase != wire.RebuildDone {
		s.Errorf("the rebuild ended so: %+v", end)
	}
	s.Logf("met %t: %s, %s: %+v", met, end.Plan.Way, end.Note, end.Steps)
	s.paired(other)
	s.flowing()
	return met
}

// rewindBegun makes a primary the old one, and returns when its rewind, which an operator
// asks for, is under way.
func (s *stage) rewindBegun(old, other pair.Server, under func(pair.Server) bool) wire.RebuildJob {
	s.Helper()
	p := s.lab.Pids().Servers[old]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until(string(other)+" took over, and is open", other, func(st wire.Status) bool { return st.Record.Primary == other && reports(st, other, wire.ReportOpen) })
	s.flowing()
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(old))
	s.until(string(old)+" waits", old, func(st wire.Status) bool { return reports(st, old, wire.ReportDown) })
	s.mcctl("rebuild", "--way", "rewind", "--yes", "--no-wait", "-M", s.lab.Mcdir(old))
	job := s.inPhase(old, wire.RebuildRewinding)
	s.eventually("the rewind is under way", func() bool { return under(old) || s.rebuildOf(old).Phase != wire.RebuildRewinding })
	return job
}

// reports tells how a server's PostgreSQL stands.
func reports(st wire.Status, of pair.Server, postgres string) bool {
	return slices.ContainsFunc(st.Servers, func(is wire.ServerStatus) bool { return is.Server == of && is.Postgres == postgres })
}

// rewinds tells that a rewind is under way, as it stands on the disk.
func (s *stage) rewinds(of pair.Server, under func(pair.Server) bool) bool {
	return under(of) && s.rebuildOf(of).Phase == wire.RebuildRewinding
}

// A rewind meets a full disk on the old primary, or a network that is gone, when it begins
// and when the data counts as half rewound. One that could not go on says why, and the
// next rebuild makes the server whole.
func TestRewindWithoutDiskOrNetwork(t *testing.T) {
	beside(t)
	if !fault.Inside(t) {
		return
	}
	s, full, cut := afflicted(t)
	s.amend("rejoin = []\n") // below policy, where afflicted has ended
	for _, f := range []affliction{full, cut} {
		c := &fault.Counts{}
		for _, under := range []func(pair.Server) bool{begun, s.keepsOwn} {
			s.meets(wire.RebuildRewinding, func() bool {
				met := s.rewindAfflicted(f, under)
				if met {
					c.Add(wire.RebuildRewinding)
				}
				return met
			})
		}
		t.Logf("%s:%s", f.name, c)
		c.Promised(t, "mcctl rebuild, by rewind", f.name)
	}
}

// rewindAfflicted makes server1 the old primary, and afflicts its rewind when that is under
// way. It tells whether it still was.
func (s *stage) rewindAfflicted(f affliction, under func(pair.Server) bool) (met bool) {
	s.Helper()
	s.reigns()
	job := s.rewindBegun(one, two, under)
	f.begin()
	met = s.rewinds(one, under)
	time.Sleep(3 * time.Second)
	f.end()
	end := s.ended(one, job.ID)
	s.Logf("%s, met %t: %s %s", f.name, met, end.Phase, end.Error)
	if end.Phase != wire.RebuildDone {
		if end.Error == "" {
			s.Errorf("%s: it does not say why: %+v", f.name, end)
		}
		s.again("rebuild", "--yes")
		s.Logf("then: %+v", s.rebuildOf(one).Plan)
	}
	s.reignsAgain(two)
	s.flowing()
	return met
}
