package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A copy command dies with this process, but what it has begun does not, and would go on
// writing where the next copy is made. So all of it inherits a locked file: the kernel
// drops the lock with the last process that has it (flock(2)). Some programs close what
// they inherit; those are known by the process group, which is noted in the file.

// copiersPatience is how long processes that were killed may take to go.
const copiersPatience = 5 * time.Second

// holdCopiers locks the file for a copy command that is about to begin.
func holdCopiers(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock for the copy command: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s for the copy command: %w", path, err)
	}
	return f, nil
}

// noteCopiers notes the process group of a copy command, by its leader.
func noteCopiers(f *os.File, leader int) error {
	st, _ := readStat(leader)
	_, err := f.WriteAt([]byte(leaderOf(leader, st)), 0)
	return err
}

// leaderOf tells one process from every other: numbers are given again, and the time is
// counted from the start of the host.
func leaderOf(pid int, st stat) string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return fmt.Sprintf("%d %s %s\n", pid, st.began, strings.TrimSpace(string(boot)))
}

// EndCopiers ends what a copy command has left behind, of this life or an earlier one,
// that held the file at path. After an error some of it is there still.
func EndCopiers(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end the copy command: %w", err)
	}
	defer f.Close()
	for end := time.Now().Add(copiersPatience); ; time.Sleep(10 * time.Millisecond) {
		left := copiers(f)
		held := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if len(left) == 0 && held == nil {
			return f.Truncate(0)
		}
		if time.Now().After(end) {
			return fmt.Errorf("what an earlier copy command began goes on, and would write into the next copy (processes %v): end it; who holds its lock: fuser %s", left, path)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have gone
		}
	}
}

// copiers are the processes that hold the file or belong to the group that is noted in
// it. A child of this process that has not become its program yet holds all that this one
// does.
func copiers(f *os.File) []int {
	path, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	self, _ := os.Readlink("/proc/self/exe")
	group := groupIn(f)
	return processes(func(pid int) bool {
		st, found := readStat(pid)
		if exe, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe")); !found || st.dead() || exe == self {
			return false
		}
		return group != 0 && st.group == group || holds(pid, path)
	})
}

// groupIn is the group that is noted in the file; 0 when there is none, or its number was
// given to another process since.
func groupIn(f *os.File) int {
	b := make([]byte, 100)
	n, _ := f.ReadAt(b, 0)
	noted := string(b[:n])
	words := strings.Fields(noted)
	if len(words) != 3 {
		return 0
	}
	leader, err := strconv.Atoi(words[0])
	if err != nil {
		return 0
	}
	st, found := readStat(leader)
	if !found { // it may have died before the others
		st.began = words[1]
	}
	if leaderOf(leader, st) != noted {
		return 0
	}
	return leader
}

// holds tells whether a process has the file open. Nothing but names is looked at: a look
// at a file on a dead disk may hang.
func holds(pid int, path string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	open, err := os.ReadDir(dir)
	if err != nil {
		return false // another user's, or it has gone
	}
	for _, fd := range open {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == path {
			return true
		}
	}
	return false
}
