package pair

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mcctl/pkg/lab"
)

// children are the pids whose parent is pid.
func children(t *testing.T, pid int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// freeze stops all processes of a server as a power cut would, parents first: while
// its postmaster stands still, no backend of it can vanish.
func freeze(t *testing.T, p lab.ServerPids) (frozen []int) {
	t.Helper()
	for _, pid := range []int{p.Watch, p.Supervisor, p.Postmaster} {
		signal(t, syscall.SIGSTOP, pid)
		frozen = append(frozen, pid)
	}
	for _, pid := range children(t, p.Postmaster) {
		signal(t, syscall.SIGSTOP, pid)
		frozen = append(frozen, pid)
	}
	return frozen
}

func thaw(t *testing.T, frozen []int) {
	t.Helper()
	for _, pid := range frozen {
		signal(t, syscall.SIGCONT, pid)
	}
}

func signal(t *testing.T, sig syscall.Signal, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
		t.Fatalf("signal %d: %v", pid, err)
	}
}
