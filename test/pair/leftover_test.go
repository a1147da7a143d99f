package pair

import (
	"strconv"
	"syscall"
	"testing"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
)

// A process that outlives its postmaster for ever, as one that waits for a lock whose holder
// has died, is not waited for: the old primary comes back.
func TestRewindEndsWhatIsLeftOfThePostmaster(t *testing.T) {
	s := newStage(t, lab.Options{})
	left, err := strconv.Atoi(s.psql(one, "select pid from pg_stat_activity where backend_type = 'walwriter'"))
	if err != nil {
		t.Fatal(err)
	}
	signal(t, syscall.SIGSTOP, left)
	t.Cleanup(func() { _ = syscall.Kill(left, syscall.SIGKILL) })
	s.kill(s.lab.Pids().Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool { return st.Record.Primary == two })
	s.paired(two)
	if syscall.Kill(left, 0) == nil {
		t.Error("it lives")
	}
}
