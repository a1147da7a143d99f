package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
)

// Kill ends processes by SIGKILL, one right after the other. A pid of 0 is an
// error: the fault would be another than the one that is spoken of.
func Kill(pids ...int) error { return send(syscall.SIGKILL, pids) }

// Freeze stops all processes of a server by SIGSTOP, as if its machine had stopped,
// and tells which: the heads first, so that the rest cannot become more meanwhile.
func (s *Stage) Freeze(server pair.Server) ([]int, error) {
	heads := Heads(s.Lab.Pids().Servers[server])
	if err := send(syscall.SIGSTOP, heads); err != nil {
		return heads, err
	}
	all := descendants(heads)
	for _, pid := range all[len(heads):] {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // one that ended just now is as good as frozen
	}
	return all, nil
}

// Thaw lets frozen processes go on. One that has gone meanwhile is no error.
func Thaw(pids ...int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

func send(sig syscall.Signal, pids []int) error {
	if len(pids) == 0 || slices.Contains(pids, 0) {
		return fmt.Errorf("send %s: some process of %v is not there", sig, pids)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("send %s to process %d: %w", sig, pid, err)
		}
	}
	return nil
}

// Heads are the processes that the rest of a server hangs on, in the order in
// which a fault must meet them: the watch would start the supervisor again.
func Heads(p lab.ServerPids) []int { return []int{p.Watch, p.Supervisor, p.Postmaster} }

// descendants are the given processes, in their order, and then all below them.
func descendants(pids []int) []int {
	parents := parents()
	all := slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		for pid, parent := range parents {
			if parent == all[i] && !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
	return all
}

func parents() map[int]int {
	dirs, _ := filepath.Glob("/proc/[1-9]*")
	found := map[int]int{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		stat, errRead := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil || errRead != nil {
			continue
		}
		// The name before it may hold blanks and brackets (proc_pid_stat(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 {
			found[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return found
}

// Below is the given processes and all below them, but for one and what is below it.
func Below(without int, pids ...int) []int {
	apart := descendants([]int{without})
	return slices.DeleteFunc(descendants(pids), func(pid int) bool { return slices.Contains(apart, pid) })
}
