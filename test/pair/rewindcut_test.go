package pair

import (
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// An old primary that waits for an operator is rebuilt by rewind, and its supervisor is
// killed while pg_rewind works. The next one goes on, and no row is lost.
func TestRewindOfARebuildCutOffGoesOn(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.amend("\n[policy]\nrejoin = []\n")
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor, p.Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.mcctl("start", "-W", "-M", s.lab.Mcdir(one))
	s.until("server1 waits", one, func(st wire.Status) bool { return st.Servers[0].Postgres == wire.ReportDown })
	s.mcctl("rebuild", "--way", "rewind", "--yes", "--no-wait", "-M", s.lab.Mcdir(one))
	job := s.inPhase(one, wire.RebuildRewinding)
	s.kill(s.lab.Pids().Servers[one].Supervisor)
	end := s.ended(one, job.ID)
	if end.Phase != wire.RebuildDone {
		t.Errorf("the rebuild ended so: %+v", end)
	}
	t.Logf("%s, %s: %+v", end.Plan.Way, end.Note, end.Steps)
	s.paired(two)
	s.flowing()
}
