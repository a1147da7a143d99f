package pair

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// limit takes away what a running process may have more of, and gives it back.
func limit(t *testing.T, pid, resource int, most uint64) (giveBack func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
		t.Fatalf("prlimit: %v", err)
	}
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: old.Max}, nil); err != nil {
		t.Fatalf("prlimit: %v", err)
	}
	return func() {
		if err := unix.Prlimit(pid, resource, &old, nil); err != nil && err != unix.ESRCH {
			t.Errorf("prlimit: %v", err)
		}
	}
}

// probesOf are the I/O probes of a supervisor.
func probesOf(t *testing.T, supervisor int) (found []int) {
	for _, pid := range children(t, supervisor) {
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && strings.Contains(string(b), "io-probe") {
			found = append(found, pid)
		}
	}
	return found
}

// Sessions of PostgreSQL may use up all the processes that its user may have. Then no
// probe can be started, which is no fault of the disks, and the roles still change.
func TestSupervisorsThatCannotForkKeepThePair(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids()
	for _, of := range []pair.Server{one, two} {
		defer limit(t, before.Servers[of].Supervisor, unix.RLIMIT_NPROC, 1)()
	}
	for _, of := range []pair.Server{one, two} {
		probes := probesOf(t, before.Servers[of].Supervisor)
		if len(probes) != 1 {
			t.Fatalf("the probes of %s are %v", of, probes)
		}
		s.kill(probes...)
		st := s.until("it is told that nobody tries the disks", of, func(st wire.Status) bool { return warned(st, "the I/O probe cannot be started") })
		if st.Record.Term != 1 || st.Record.Mode != pair.Paired || st.Servers[0].DiskError+st.Servers[1].DiskError != "" {
			t.Errorf("%s: %+v", of, st)
		}
	}
	s.flowing()
	s.kill(before.Servers[one].Postmaster)
	s.until("server2 took over", two, func(st wire.Status) bool {
		return st.Record.Primary == two && st.Servers[1].Postgres == wire.ReportOpen
	})
	s.flowing()
	after := s.lab.Pids()
	if after.Servers[one].Supervisor != before.Servers[one].Supervisor || after.Servers[two].Supervisor != before.Servers[two].Supervisor {
		t.Errorf("a supervisor died: %+v, before %+v", after, before)
	}
	for _, of := range []pair.Server{one, two} {
		unlimit(t, before.Servers[of].Supervisor, unix.RLIMIT_NPROC)
	}
	s.paired(two)
}

func unlimit(t *testing.T, pid, resource int) {
	t.Helper()
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		t.Fatal(err)
	}
	now.Cur = now.Max
	if err := unix.Prlimit(pid, resource, &now, nil); err != nil {
		t.Fatal(err)
	}
}

// Without a single descriptor to spare the supervisors go on with those they have:
// nobody is taken for dead, and a postmaster that dies is known from the kernel.
func TestSupervisorsWithoutDescriptorsKeepThePair(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids()
	limitAll := func() {
		for _, of := range []pair.Server{one, two} {
			limit(t, before.Servers[of].Supervisor, unix.RLIMIT_NOFILE, 1)
		}
	}
	unlimitAll := func() {
		for _, of := range []pair.Server{one, two} {
			unlimit(t, before.Servers[of].Supervisor, unix.RLIMIT_NOFILE)
		}
	}
	limitAll()
	time.Sleep(4 * time.Second) // longer than every timeout by which something is lost
	s.flowing()
	unlimitAll()
	if st := s.paired(one); st.Record.Term != 1 || st.Record.Revision != 3 {
		t.Errorf("something changed: %s", st.Record)
	}
	limitAll()
	s.kill(before.Servers[one].Postmaster)
	if _, err := s.status(one); err == nil {
		t.Error("the supervisor had a descriptor for a new connection")
	}
	time.Sleep(time.Second)
	unlimitAll()
	s.paired(two)
	s.flowing()
	after := s.lab.Pids()
	if after.Servers[one].Supervisor != before.Servers[one].Supervisor || after.Servers[two].Supervisor != before.Servers[two].Supervisor {
		t.Errorf("a supervisor died: %+v, before %+v", after, before)
	}
}
