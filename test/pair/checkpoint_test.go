package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// inCheckpoint begins a switch whose checkpoint does not end: the checkpointer is frozen,
// as if there were very much to write. Ended receives what the command said.
func (s *stage) inCheckpoint() (checkpointer int, ended <-chan string) {
	s.Helper()
	pid, err := strconv.Atoi(s.ask(one, "select pid::text from pg_stat_activity where backend_type = 'checkpointer'"))
	if err != nil {
		s.Fatal(err)
	}
	signal(s.T, syscall.SIGSTOP, pid)
	s.Cleanup(func() { signal(s.T, syscall.SIGCONT, pid) })
	said := make(chan string, 1)
	go func() {
		out, _ := s.try("switch", "-M", s.lab.Mcdir(one))
		said <- out
	}()
	s.until("the switch is under way", one, func(st wire.Status) bool { return st.Servers[0].Doing == "switch" })
	time.Sleep(200 * time.Millisecond)
	return pid, said
}

// ends waits for what the command of the switch says at its end.
func (s *stage) ends(ended <-chan string, says string) {
	s.Helper()
	select {
	case out := <-ended:
		if !strings.Contains(out, says) {
			s.Errorf("the switch does not say %q:\n%s", says, out)
		}
	case <-time.After(patience):
		s.Fatal("the switch does not end")
	}
}

func TestASwitchIsGivenUpInItsCheckpoint(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids().Servers[one].Postmaster
	checkpointer, ended := s.inCheckpoint()
	began := time.Now()
	if out := s.mcctl("switch", "--cancel", "-M", s.lab.Mcdir(two)); !strings.Contains(out, "given up; server1 stays primary") {
		t.Errorf("it says\n%s", out)
	}
	if took := time.Since(began); took > patience/4 {
		t.Errorf("giving it up took %s", took)
	}
	s.ends(ended, "given-up")
	s.flowing()
	s.hasLine(one, "synchronous_standby_names = 'server2'")
	signal(t, syscall.SIGCONT, checkpointer)
	s.flowing()
	if st := s.paired(one); st.Record.Term != 1 || s.lab.Pids().Servers[one].Postmaster != before {
		t.Errorf("something changed: %s", st.Record)
	}
	s.mcctl("switch", "-M", s.lab.Mcdir(one))
	s.paired(two)
	s.flowing()
}

// Where no arbiter lets the standby take over, nobody but the primary itself can hand over.
func TestAPrimaryThatFreezesInTheCheckpointOfASwitchIsReplaced(t *testing.T) {
	for _, arbiter := range []string{"witness", "none", "command"} {
		t.Run(arbiter, func(t *testing.T) {
			s := newStage(t, lab.Options{Profile: "tight", Arbiter: arbiter})
			postmaster := s.lab.Pids().Servers[one].Postmaster
			_, ended := s.inCheckpoint()
			signal(t, syscall.SIGSTOP, postmaster)
			s.Cleanup(func() { signal(t, syscall.SIGCONT, postmaster) })
			s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
			s.ends(ended, "postgres is hung")
			s.flowing()
			s.paired(two)
		})
	}
}

// PostgreSQL lets waiting commits go only when its checkpointer comes to read the settings.
// But the record says at once what is, and the primary is not shut down for nobody.
func TestAStandbyThatDiesInTheCheckpointOfASwitchEndsIt(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids().Servers[one].Postmaster
	checkpointer, ended := s.inCheckpoint()
	s.killServer(two)
	s.promised(time.Second, "the primary went alone", one, func(st wire.Status) bool { return st.Record.Mode == pair.Alone && st.Record.Primary == one })
	s.ends(ended, "conditions are gone") // its server refuses connections, or its stream has ended: what is seen first
	signal(t, syscall.SIGCONT, checkpointer)
	s.flowing()
	if after := s.lab.Pids().Servers[one].Postmaster; after != before {
		t.Errorf("the postmaster was %d and is %d: it was shut down for a switch that could not be", before, after)
	}
	s.mcctl("start", "-M", s.lab.Mcdir(two))
	s.paired(one)
}

// restarted stops the postmaster of server1 in good order, and returns the next one as soon
// as that has come so far, by its lock file.
func (s *stage) restarted(far func(lock string) bool) (postmaster int) {
	s.Helper()
	before := s.lab.Pids().Servers[one].Postmaster
	signal(s.T, syscall.SIGINT, before)
	return s.comesAfter(before, far)
}

func (s *stage) comesAfter(before int, far func(lock string) bool) (postmaster int) {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(s.lab.Data(one), "postmaster.pid"))
		if _, err := fmt.Sscan(string(b), &postmaster); err == nil && postmaster != before && far(string(b)) {
			return postmaster
		}
	}
	s.Fatal("it is not started again")
	return 0
}

// Behind the gate it is the same: the supervisor waits for a start that does not end, and
// is the only one who can hand over.
func TestAPrimaryThatFreezesInItsStartIsReplaced(t *testing.T) {
	s := newStage(t, lab.Options{Arbiter: "none"})
	s.psql(one, "alter system set pre_auth_delay = '2s'") // nobody is let in before the postmaster is frozen
	socket := filepath.Join(filepath.Dir(s.lab.Data(one)), "run", fmt.Sprintf(".s.PGSQL.%d", s.lab.ClientPort(one)))
	postmaster := s.restarted(func(string) bool { // it listens
		_, err := os.Stat(socket)
		return err == nil
	})
	signal(t, syscall.SIGSTOP, postmaster)
	s.Cleanup(func() { signal(t, syscall.SIGCONT, postmaster) })
	if err := os.WriteFile(filepath.Join(s.lab.Data(one), "postgresql.auto.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.flowing()
	s.paired(two)
}

// What comes back after a switch is started by its rejoin, which waits for what froze in it.
func TestAServerThatFreezesOnItsWayBackIsRestarted(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids().Servers[one].Postmaster
	s.psql(one, "alter system set pre_auth_delay = '2s'") // nobody is let in before the postmaster is frozen
	switched := make(chan error, 1)
	go func() {
		_, err := s.try("switch", "-M", s.lab.Mcdir(two))
		switched <- err
	}()
	postmaster := s.comesAfter(before, func(lock string) bool { return strings.HasSuffix(strings.TrimRight(lock, " \n"), "ready") })
	signal(t, syscall.SIGSTOP, postmaster)
	s.Cleanup(func() { _ = syscall.Kill(postmaster, syscall.SIGCONT) }) // one that was killed is gone
	if err := os.WriteFile(filepath.Join(s.lab.Data(one), "postgresql.auto.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-switched; err != nil {
		t.Errorf("the switch: %v", err)
	}
	s.paired(two)
}

// Nobody takes over for a lone primary. It has said that it is ready, and freezes before the
// supervisor was let in: the start must not wait for ever.
func TestALonePrimaryThatFreezesInItsStartIsRestarted(t *testing.T) {
	s := newStage(t, lab.Options{})
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	s.psql(one, "alter system set pre_auth_delay = '1s'") // nobody is let in before the postmaster is frozen
	postmaster := s.restarted(func(lock string) bool { return strings.HasSuffix(strings.TrimRight(lock, " \n"), "ready") })
	signal(t, syscall.SIGSTOP, postmaster)
	s.Cleanup(func() { _ = syscall.Kill(postmaster, syscall.SIGCONT) }) // one that was killed is gone
	if err := os.WriteFile(filepath.Join(s.lab.Data(one), "postgresql.auto.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.until("another one serves", one, func(st wire.Status) bool {
		return st.Servers[0].Doing == "" && s.lab.Pids().Servers[one].Postmaster != postmaster && s.lab.Pids().Servers[one].Postmaster != 0
	})
	s.flowing()
	s.mcctl("attach", "-M", s.lab.Mcdir(two))
	s.paired(one)
}
