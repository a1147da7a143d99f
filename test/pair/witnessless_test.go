package pair

import (
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// endWitness kills the witness for good: its watch goes first.
func (s *stage) endWitness() {
	s.Helper()
	p := s.lab.Pids()
	s.kill(p.WitnessWatch, p.Witness)
	for _, of := range []pair.Server{one, two} {
		s.until("the witness is missed", of, func(st wire.Status) bool { return !st.Arbiter.Reached })
	}
}

func (s *stage) startWitness() {
	s.Helper()
	s.mcctl("arbiter", "start", "-M", s.lab.ArbiterDir())
}

func TestWithoutWitnessServiceGoesOnAndRolesStay(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.endWitness()
	s.flowing()
	out, err := s.try("switch", "-M", s.lab.Mcdir(one))
	if err == nil {
		t.Errorf("a switch without the witness began:\n%s", out)
	}
	// PostgreSQL dies: nobody can be asked, but the standby is here. It starts behind
	// the gate and opens when the standby streams again.
	before := s.lab.Pids().Servers[one].Postmaster
	s.kill(before)
	s.until("server1 is open again", one, func(st wire.Status) bool {
		now := s.lab.Pids().Servers[one].Postmaster
		return now != 0 && now != before && st.Servers[0].Postgres == "open" && st.Servers[0].Doing == "" && st.Servers[1].SyncState == "sync"
	})
	s.flowing()
	s.startWitness()
	if st := s.paired(one); st.Record.Term != 1 || st.Record.Mode != pair.Paired {
		t.Errorf("the record changed: %s", st.Record)
	}
}

func TestPrimaryCutOffFromEverybodyClosesAndComesBack(t *testing.T) {
	s := newStage(t, lab.Options{Profile: "tight"})
	s.endWitness()
	frozen := freeze(t, s.lab.Pids().Servers[two])
	s.until("server1 has closed", one, func(st wire.Status) bool { return st.Servers[0].Postgres == "down" && st.Servers[0].Rule == 110 })
	thaw(t, frozen)
	s.startWitness()
	s.until("paired again", one, func(st wire.Status) bool { return st.Healthy })
	s.flowing()
}
