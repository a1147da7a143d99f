package pair

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

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
	begun := func(pair.Server) bool { return true }
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

// keepsOwn tells that a server's own files are out of the way of pg_rewind, which has begun
// to write, or will at once.
func (s *stage) keepsOwn(of pair.Server) bool {
	_, err := os.Lstat(filepath.Join(s.lab.Mcdir(of), "kept"))
	return err == nil
}

// rewindCutOff makes a primary the old one, and kills its supervisor when its rewind is under
// way. It tells whether it still was, as it stands on the disk.
func (s *stage) rewindCutOff(old, other pair.Server, under func(pair.Server) bool) (met bool) {
	s.Helper()
	p := s.lab.Pids().Servers[old]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until(string(other)+" took over", other, func(st wire.Status) bool { return st.Record.Primary == other })
	s.flowing()
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(old))
	s.until(string(old)+" waits", old, func(st wire.Status) bool {
		return slices.ContainsFunc(st.Servers, func(is wire.ServerStatus) bool { return is.Server == old && is.Postgres == wire.ReportDown })
	})
	s.mcctl("rebuild", "--way", "rewind", "--yes", "--no-wait", "-M", s.lab.Mcdir(old))
	job := s.inPhase(old, wire.RebuildRewinding)
	s.eventually("the rewind is under way", func() bool { return under(old) || s.rebuildOf(old).Phase != wire.RebuildRewinding })
	s.killed(s.lab.Pids().Servers[old].Supervisor)
	met = under(old) && s.rebuildOf(old).Phase == wire.RebuildRewinding
	end := s.ended(old, job.ID)
	if end.Phase != wire.RebuildDone {
		s.Errorf("the rebuild ended so: %+v", end)
	}
	s.Logf("met %t: %s, %s: %+v", met, end.Plan.Way, end.Note, end.Steps)
	s.paired(other)
	s.flowing()
	return met
}
