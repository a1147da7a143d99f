package cli

import (
	"errors"
	"fmt"
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
// the same file); 0 when nobody does, or when the pid is another program's.
func holder(lock, pidFile string) int {
	f, err := os.Open(lock)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !sameProgram(pid) {
		return 0
	}
	return pid
}

// sameProgram guards against a pid that was written by a predecessor and is
// somebody else's by now: it is checked before anything is killed.
func sameProgram(pid int) bool {
	name := func(proc string) string {
		exe, err := os.Readlink(filepath.Join("/proc", proc, "exe"))
		if err != nil {
			return ""
		}
		return filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // upgraded meanwhile
	}
	theirs := name(strconv.Itoa(pid))
	return theirs != "" && theirs == name("self")
}

// The processes that a management directory may have. The supervisor locks a file
// of its own and writes its pid into another.
func supervisorOf(mcdir string) int {
	return holder(filepath.Join(mcdir, "run", "supervisor.lock"), filepath.Join(mcdir, "run", "supervisor.pid"))
}

func watchOf(mcdir string) int { return holder(watchFile(mcdir), watchFile(mcdir)) }

func arbiterOf(mcdir string) int { return holder(arbiterFile(mcdir), arbiterFile(mcdir)) }

func watchFile(mcdir string) string { return filepath.Join(mcdir, "run", "watch.pid") }

func arbiterFile(mcdir string) string { return filepath.Join(mcdir, "run", "arbiter.pid") }
