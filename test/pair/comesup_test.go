package pair

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// frozenRecovery waits until a server is started again, and freezes its recovery: as if
// there were very much to recover. The log should take a moment at least.
func (s *stage) frozenRecovery(of pair.Server, not int) (postmaster, startup int) {
	s.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(s.lab.Data(of) + "/postmaster.pid")
		if n, _ := fmt.Sscan(string(b), &postmaster); n == 0 || postmaster <= 0 || postmaster == not {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", postmaster)); err != nil {
			continue
		}
		for _, pid := range children(s.T, postmaster) {
			if title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(title), "startup") {
				signal(s.T, syscall.SIGSTOP, pid)
				s.Cleanup(func() { signal(s.T, syscall.SIGCONT, pid) })
				return postmaster, pid
			}
		}
	}
	s.Fatal("it does not recover")
	return 0, 0
}

// A lone primary is opened without asking anybody (T5), and may be at its recovery for long.
// It must not come up after all when an operator has forced the other server meanwhile.
func TestAPrimaryInRecoveryDoesNotOpenWhenTheOtherIsForced(t *testing.T) {
	s := newQuietStage(t, lab.Options{})
	s.mcctl("detach", "-M", s.lab.Mcdir(one))
	s.sql(one, "create table t (x text)", "checkpoint", "insert into t select repeat('x', 100) from generate_series(1, 300000)")
	before := s.lab.Pids().Servers[one].Postmaster
	s.kill(before)
	postmaster, startup := s.frozenRecovery(one, before)
	s.until("it starts", one, func(st wire.Status) bool { return st.Servers[0].Doing == "start-open" })
	s.mcctl("switch", "--force", "--yes", "-M", s.lab.Mcdir(two))
	s.until("server1 gives its start up", one, func(st wire.Status) bool { return st.Record.Primary == two && st.Servers[0].Doing != "start-open" })
	signal(t, syscall.SIGCONT, startup)
	s.mcctl("attach", "-M", s.lab.Mcdir(two))
	s.paired(two)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", postmaster)); err == nil {
		t.Errorf("postmaster %d is there still", postmaster)
	}
}
