package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cgroups are the mounted hierarchies that a host gets a place in: version 2 first,
// which freezes and kills; then those of version 1, if any.
func cgroups() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var two, one []string
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		switch {
		case f[2] == "cgroup2":
			two = append(two, f[1])
		case f[2] == "cgroup" && !strings.Contains(f[3], "cpuset"): // which would have to be filled in first
			one = append(one, f[1])
		}
	}
	if len(two) == 0 {
		return nil, errors.New("no cgroup2 is mounted; run: sudo mount -t cgroup2 none /sys/fs/cgroup")
	}
	return append(two[:1], one...), nil
}

// weigh lets the hosts together count for as many processes as are usually at work in
// them. The kernel shares its time among the members of a cgroup first, so they would
// all have as much of a busy machine as one process of anybody else.
func (w *world) weigh() error {
	for _, g := range w.groups {
		dir := filepath.Join(g, w.name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		for file, value := range map[string]string{"cpu.shares": "8192", "cpu.weight": "800"} {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				continue // of the other version, or without this controller
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
				return fmt.Errorf("weigh the hosts: %w", err)
			}
		}
	}
	return nil
}

// removeGroups removes a cgroup and all below it, which hold no process any more.
func removeGroups(top string) {
	var dirs []string
	_ = filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, name)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir)
	}
}

// processes are all in a cgroup and below it.
func processes(top string) (pids []int) {
	_ = filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		text, _ := os.ReadFile(name)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// joinGroups is a shell script that goes into the host's cgroups, in each a part of
// the given name, and then becomes its arguments.
func (h *host) joinGroups(part string) (string, error) {
	script := ""
	for i, g := range h.w.groups {
		dir := filepath.Join(g, h.w.name, h.name)
		if i == 0 || strings.HasSuffix(g, "/systemd") {
			dir = filepath.Join(dir, part) // systemd's own begin beside it
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make cgroup: %w", err)
		}
		script += "echo 0 >" + dir + "/cgroup.procs && "
	}
	return script + `exec "$@"`, nil
}

func (h *host) group() string { return filepath.Join(h.w.groups[0], h.w.name, h.name) }

func (h *host) setGroup(file, value string) error {
	return os.WriteFile(filepath.Join(h.group(), file), []byte(value), 0)
}

// awaitGroup waits for a line of cgroup.events.
func (h *host) awaitGroup(line string) error {
	for range 3000 {
		events, err := os.ReadFile(filepath.Join(h.group(), "cgroup.events"))
		if err != nil || bytes.Contains(events, []byte(line)) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("host %s: its cgroup is not %q after 30 s", h.name, line)
}

// limitMemory lets all processes of the host together have so much more than now; 0
// takes the limit away.
func (h *host) limitMemory(more int64) error {
	for _, g := range h.w.groups {
		dir := filepath.Join(g, h.w.name, h.name)
		for used, limit := range map[string]string{"memory.usage_in_bytes": "memory.limit_in_bytes", "memory.current": "memory.max"} {
			text, err := os.ReadFile(filepath.Join(dir, used))
			if err != nil {
				continue
			}
			now, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err != nil {
				return err
			}
			value := strconv.FormatInt(now+more, 10)
			if more == 0 {
				value = map[string]string{"memory.limit_in_bytes": "-1", "memory.max": "max"}[limit]
			}
			return os.WriteFile(filepath.Join(dir, limit), []byte(value), 0)
		}
	}
	return errors.New("the kernel has no memory controller; boot it with cgroup_enable=memory")
}
