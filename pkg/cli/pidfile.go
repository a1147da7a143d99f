package cli

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

	"mcctl/pkg/durable"
)

// errHeld tells that another process holds a pid file.
var errHeld = errors.New("another process of mcctl holds it, and does that already")

// claimPatience is how long a claim waits for a holder that is just ending, as
// when start follows stop at once.
const claimPatience = 2 * time.Second

// claim locks a pid file and writes this process into it. The lock, not the
// number, says that the process lives: the kernel drops it with the process. The
// file stays when it is released: removing it would let two processes hold two
// files of one name.
func claim(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("claim %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	for deadline := time.Now().Add(claimPatience); ; time.Sleep(10 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("claim %s: %w", path, errHeld)
		}
	}
	if err := durable.WritePID(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("claim %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// holder is the process that holds lock and wrote its pid into pidFile (mostly
// the same file); 0 when nobody does, or when the pid is another program's. Files that
// are there and tell nothing are an error: whoever must not look at a process must not
// take it for gone.
func holder(lock, pidFile string) (pid int, err error) {
	f, err := os.Open(lock)
	if err != nil {
		return 0, unlessGone(err)
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, unlessGone(err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, unlessGone(err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil { // it is just being written
		return 0, nil
	}
	same, err := sameProgram(pid)
	switch {
	case errors.Is(err, fs.ErrPermission) && sameOwner(lock, procOf(pid)):
		return 0, unlessGone(err)
	case err != nil || !same:
		return 0, nil
	}
	return pid, nil
}

func unlessGone(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("see what runs here: %w", err)
}

// sameProgram guards against a pid that was written by a predecessor and is
// somebody else's by now: it is checked before anything is killed.
func sameProgram(pid int) (bool, error) {
	theirs, err := programOf(procOf(pid))
	if err != nil {
		return false, err
	}
	ours, err := programOf("/proc/self")
	return theirs == ours, err
}

func procOf(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid)) }

func programOf(proc string) (name string, err error) {
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)")), err // upgraded meanwhile
}

// sameOwner tells a process that may not be looked at from another's, whose pid it has got.
func sameOwner(file, proc string) bool {
	of, errFile := ownerOf(file)
	by, errProc := ownerOf(proc)
	return errFile == nil && errProc == nil && of == by
}

// A finder tells a process that a management directory may have; 0 for none.
type finder func(mcdir string) (pid int, err error)

// The supervisor locks a file of its own and writes its pid into another.
func supervisorOf(mcdir string) (int, error) {
	return holder(filepath.Join(mcdir, "run", "supervisor.lock"), filepath.Join(mcdir, "run", "supervisor.pid"))
}

func watchOf(mcdir string) (int, error) { return holder(watchFile(mcdir), watchFile(mcdir)) }

func arbiterOf(mcdir string) (int, error) { return holder(arbiterFile(mcdir), arbiterFile(mcdir)) }

// oneOf is the first of them that is there.
func oneOf(mcdir string, which ...finder) (pid int, err error) {
	for _, find := range which {
		if pid, err = find(mcdir); pid != 0 || err != nil {
			return pid, err
		}
	}
	return 0, nil
}

func watchFile(mcdir string) string { return filepath.Join(mcdir, "run", "watch.pid") }

func arbiterFile(mcdir string) string { return filepath.Join(mcdir, "run", "arbiter.pid") }
