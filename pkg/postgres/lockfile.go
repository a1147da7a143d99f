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

	"mcctl/pkg/durable"
)

// ErrStillInUse tells that processes of a postmaster that died still hold its
// shared memory, so PostgreSQL refuses to start. They leave by themselves, most
// of them at once; start again a little later, or end them with KillLeftovers.
var ErrStillInUse = errors.New("processes of the old postmaster still hold its shared memory")

// clearLock makes way for a start after a postmaster that died. PostgreSQL takes
// over the lock files of a dead pid by itself; but if that pid exists as a zombie
// or has been given to another process of the same user, it says "lock file
// already exists" and never starts (CreateLockFile in
// src/backend/utils/init/miscinit.c, 13 to 18). Only then the files are removed,
// and only while nobody holds the shared memory.
func (in *Instance) clearLock() error {
	path := filepath.Join(in.Data, "postmaster.pid")
	lock, err := readLockFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read lock file: %w", err)
	}
	if attached(lock.shm) > 0 {
		return fmt.Errorf("clear lock file of dead postmaster %d: %w", lock.pid, ErrStillInUse)
	}
	if lock.pid <= 0 || syscall.Kill(lock.pid, 0) != nil {
		return nil // PostgreSQL sorts it out itself
	}
	if in.owns(lock.pid) {
		return fmt.Errorf("clear lock file: postmaster %d has just started", lock.pid)
	}
	if err := durable.Remove(path); err != nil {
		return fmt.Errorf("clear lock file: %w", err)
	}
	return in.clearSocketLock(lock.pid)
}

// clearSocketLock removes the lock of the unix socket that the same dead
// postmaster left. Its second line is the data directory it belongs to.
func (in *Instance) clearSocketLock(pid int) error {
	path := in.SocketPath() + ".lock"
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read lock file of socket: %w", err)
	}
	lines := strings.SplitN(string(b), "\n", 3)
	if len(lines) < 3 || lines[0] != strconv.Itoa(pid) || lines[1] != in.Data {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("clear lock file of socket: %w", err)
	}
	return nil
}

// attached is how many processes have the shared memory segment; 0 when it is gone.
func attached(id int) int {
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil || id < 0 {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // key shmid perms size cpid lpid nattch …, proc(5)
		if len(f) > 6 && f[1] == strconv.Itoa(id) {
			n, _ := strconv.Atoi(f[6])
			return n
		}
	}
	return 0
}
