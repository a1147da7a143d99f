package pair

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// limit takes away what a running process may have more of; the second one gives all
// back.
func limit(t *testing.T, pid, resource int, most uint64) {
	t.Helper()
	setLimit(t, pid, resource, func(uint64) uint64 { return most })
}

func unlimit(t *testing.T, pid, resource int) {
	t.Helper()
	setLimit(t, pid, resource, func(max uint64) uint64 { return max })
}

func setLimit(t *testing.T, pid, resource int, of func(max uint64) uint64) {
	t.Helper()
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		t.Fatalf("prlimit of %d: %v", pid, err)
	}
	now.Cur = of(now.Max)
	if err := unix.Prlimit(pid, resource, &now, nil); err != nil {
		t.Fatalf("prlimit of %d: %v", pid, err)
	}
}

// probesOf are the I/O probes of a supervisor, whichever of its threads has made them.
func probesOf(t *testing.T, supervisor int) (found []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(supervisor) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		b, _ := os.ReadFile(list) // a thread may have ended
		for _, pid := range strings.Fields(string(b)) {
			command, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if n, err := strconv.Atoi(pid); err == nil && strings.Contains(string(command), "io-probe") {
				found = append(found, n)
			}
		}
	}
	return found
}

// detachedBy are the rules by which a server has gone alone. Its log tells them also when it
// has no descriptor for the journal.
func (s *stage) detachedBy(of pair.Server) (rules []string) {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.lab.Mcdir(of), "log", "mcctl.log"))
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`rule (\d+): detach,`).FindAllSubmatch(b, -1) {
		rules = append(rules, string(m[1]))
	}
	return rules
}

// Sessions of PostgreSQL may use up all the processes that its user may have. Then no
// probe can be started, which is no fault of the disks, and the roles still change.
func TestSupervisorsThatCannotForkKeepThePair(t *testing.T) {
	s := newStage(t, lab.Options{})
	before := s.lab.Pids()
	for _, of := range []pair.Server{one, two} {
		limit(t, before.Servers[of].Supervisor, unix.RLIMIT_NPROC, 1)
	}
	for _, of := range []pair.Server{one, two} {
		probes := probesOf(t, before.Servers[of].Supervisor)
		if len(probes) != 1 {
			t.Fatalf("the probes of %s are %v", of, probes)
		}
		s.kill(probes...)
		st := s.promised(time.Second, "it is told that nobody tries the disks", of, func(st wire.Status) bool { return warned(st, "the I/O probe cannot be started") })
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
	began := s.paired(one).Record
	limitAll()
	for _, of := range []pair.Server{one, two} { // a wait in the kernel that is interrupted begins anew, and needs what is not to be had
		signal(t, syscall.SIGSTOP, before.Servers[of].Supervisor)
		time.Sleep(100 * time.Millisecond)
		signal(t, syscall.SIGCONT, before.Servers[of].Supervisor)
	}
	time.Sleep(4 * time.Second) // longer than every timeout by which something is lost
	s.flowing()
	unlimitAll()
	// On a busy machine commits may stall: then the primary goes alone, as it shall.
	now, by := s.paired(one).Record, s.detachedBy(one)
	stalled := len(by) > 0 && !slices.ContainsFunc(by, func(rule string) bool { return rule != "256" })
	if now != began && (now.Term != began.Term || !stalled) {
		t.Errorf("the record was %s and is %s; detached by the rules %q", began, now, by)
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
