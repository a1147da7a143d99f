package pair

import (
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

func newEtcdStage(t *testing.T) *stage { return newStage(t, lab.Options{Arbiter: "etcd"}) }

func (s *stage) startEtcd(member int) {
	s.Helper()
	if err := s.lab.StartEtcdMember(s.Context(), member); err != nil {
		s.Fatal(err)
	}
}

func TestSwitchAndFailoverOnEtcd(t *testing.T) {
	s := newEtcdStage(t)
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	s.kill(s.lab.Pids().Servers[two].Postmaster)
	s.until("server1 took over", one, func(st wire.Status) bool { return st.Record.Primary == one })
	s.flowing()
	s.paired(one)
	p := s.lab.Pids().Servers[one]
	s.kill(p.Watch, p.Supervisor, p.Postmaster) // its lease has to run out
	s.promised(3*time.Second, "server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.mcctl("start", "-M", s.lab.Mcdir(one))
	s.paired(two)
}

func TestFrozenPrimaryIsReplacedOnEtcd(t *testing.T) {
	s := newEtcdStage(t)
	frozen := freeze(t, s.lab.Pids().Servers[one])
	s.promised(3*time.Second, "server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	thaw(t, frozen)
	s.paired(two)
}

func TestEtcdMembersDieOneAfterAnother(t *testing.T) {
	s := newEtcdStage(t)
	for i := range 3 {
		s.kill(s.lab.Pids().Etcd[i])
		s.flowing()
		s.switchUnderElection([]pair.Server{two, one}[i%2])
		s.startEtcd(i)
	}
	s.flowing()
}

// switchUnderElection asks until the switch is done: one that meets etcd while it elects
// a leader fails before its point of no return, and the primary stays.
func (s *stage) switchUnderElection(to pair.Server) {
	s.Helper()
	for began := time.Now(); ; {
		out, err := s.try("switch", "-M", s.lab.Mcdir(one))
		st, errStatus := s.status(one)
		switch {
		case errStatus == nil && st.Record.Primary == to:
			s.paired(to)
			return
		case time.Since(began) > patience:
			s.Fatalf("no switch to %s: %v\n%s", to, err, out)
		}
		s.Logf("not this time: %v", err)
		s.until("the primary is open and the pair whole", one, func(st wire.Status) bool { return st.Healthy })
	}
}

func TestEtcdWithoutQuorumChangesNothing(t *testing.T) {
	s := newEtcdStage(t)
	etcd := s.lab.Pids().Etcd
	s.kill(etcd[0])
	if err := syscall.Kill(etcd[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, of := range []pair.Server{one, two} {
		s.promised(2*time.Second, "etcd is missed", of, func(st wire.Status) bool { return !st.Arbiter.Reached })
	}
	s.flowing()
	if out, err := s.try("switch", "-M", s.lab.Mcdir(one)); err == nil {
		t.Errorf("a switch without a quorum began:\n%s", out)
	}
	if err := syscall.Kill(etcd[1], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if st := s.paired(one); st.Record.Term != 1 {
		t.Errorf("the reign changed: %s", st.Record)
	}
	s.startEtcd(0)
	s.flowing()
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
}
