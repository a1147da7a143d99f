package postgres

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Postmaster finds the running postmaster of this data directory. The pid comes
// from postmaster.pid and is believed only if that process is alive (not a
// zombie), is ours, runs a postgres program and works in this data directory: after
// a reboot the pid may belong to anybody. The start time written in the file is
// not compared, because a step of the wall clock would make a running server
// look dead. A single-user server counts as running.
func (in *Instance) Postmaster() (pid int, running bool) {
	lock, err := readLockFile(filepath.Join(in.Data, "postmaster.pid"))
	if err != nil || !in.owns(lock.pid) {
		return 0, false
	}
	return lock.pid, true
}

// lockFile is what postmaster.pid says (src/include/utils/pidfile.h, same in 13 to 18).
type lockFile struct {
	pid    int
	shm    int    // System V shared memory id; -1 when not written yet
	status string // "starting", "ready", "standby" or "stopping"
}

func readLockFile(path string) (lockFile, error) {
	b, err := readPatiently(path)
	if err != nil {
		return lockFile{}, err
	}
	lines := strings.Split(string(b), "\n")
	line := func(n int) []string {
		if n > len(lines) {
			return nil
		}
		return strings.Fields(lines[n-1])
	}
	l := lockFile{shm: -1}
	if f := line(1); len(f) == 1 {
		l.pid, _ = strconv.Atoi(f[0]) // unreadable: 0, which no process has
	}
	if l.pid < 0 { // a single-user server writes its pid negated
		l.pid = -l.pid
	}
	if f := line(7); len(f) == 2 {
		if id, err := strconv.Atoi(f[1]); err == nil {
			l.shm = id
		}
	}
	if f := line(8); len(f) == 1 {
		l.status = f[0]
	}
	return l, nil
}

// owns tells whether pid is a live process of this data directory: a postmaster,
// one of its children, or a child that outlived it. One that is ending still counts:
// the kernel takes its program away first, and its sockets and memory later.
func (in *Instance) owns(pid int) bool {
	if pid <= 0 {
		return false
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	info, err := os.Stat(dir)
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return false
	}
	if st, ok := readStat(pid); !ok || st.dead() {
		return false
	}
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	name := strings.TrimSuffix(filepath.Base(exe), " (deleted)") // upgraded meanwhile
	known := err == nil && name == "postgres" || errors.Is(err, fs.ErrNotExist)
	return known && in.worksIn(filepath.Join(dir, "cwd"))
}

// ending tells of a process that has run a program whether it is on its way out:
// it has none any more (do_exit of Linux calls exit_mm first), or it has ended.
func ending(pid int) bool {
	if st, found := readStat(pid); !found || st.dead() {
		return true
	}
	_, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	return errors.Is(err, fs.ErrNotExist)
}

// worksIn compares names first: on a dead disk a stat may hang, a readlink in
// /proc does not.
func (in *Instance) worksIn(cwd string) bool {
	if name, err := os.Readlink(cwd); err == nil && name == filepath.Clean(in.Data) {
		return true
	}
	here, errHere := os.Stat(cwd)
	data, errData := os.Stat(in.Data)
	return errHere == nil && errData == nil && os.SameFile(here, data)
}

// stat is the part of /proc/pid/stat (proc(5)) that matters here.
type stat struct {
	state  byte
	parent int
	group  int
	began  string // clock ticks after the start of the host
}

func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

func readStat(pid int) (stat, bool) {
	b, err := readPatiently(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The program's name comes in parentheses and may itself hold some.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, false
	}
	parent, errParent := strconv.Atoi(string(f[1]))
	group, errGroup := strconv.Atoi(string(f[2]))
	return stat{state: f[0][0], parent: parent, group: group, began: string(f[19])}, errParent == nil && errGroup == nil
}

// processes lists the pids for which keep is true.
func processes(keep func(pid int) bool) []int {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && keep(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
