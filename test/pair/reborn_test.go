package pair

import (
	"os"
	"path/filepath"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// loseRecords ends the witness and empties its disk.
func (s *stage) loseRecords() {
	s.Helper()
	s.endWitness()
	found, err := filepath.Glob(s.lab.ArbiterDir() + "/records/*.json")
	if err != nil || len(found) != 1 {
		s.Fatalf("records of the witness: %q, %v", found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		s.Fatal(err)
	}
}

// foundAgain waits for a record that no lost witness can have given.
func (s *stage) foundAgain(of pair.Server) {
	s.Helper()
	s.until("the record is found again", of, func(st wire.Status) bool { return st.Record.Revision > 1000 })
}

func TestAWitnessThatLostItsDiskNeedsNobody(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.loseRecords()
	s.startWitness()
	s.foundAgain(one)
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("the reign changed: %s", st.Record)
	}
	s.flowing()
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
}

// The new primary loses its supervisor right after the take-over, and the witness its
// records: the reign is found again.
func TestATakeOverOutlivesTheWitnessThatGrantedIt(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.kill(s.lab.Pids().Servers[two].Supervisor) // its watch starts another one
	s.loseRecords()
	s.startWitness()
	s.foundAgain(two)
	if st := s.paired(two); st.Record.Term != 2 {
		t.Errorf("the reign changed: %s", st.Record)
	}
	s.flowing()
}
