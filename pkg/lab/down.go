package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/pair"
)

// How long each way of stopping may take before a harder one is tried.
const (
	askTimeout  = 90 * time.Second // mcctl stop
	termTimeout = 30 * time.Second // SIGTERM to a daemon
	fastTimeout = 60 * time.Second // SIGINT to a postmaster
	killTimeout = 10 * time.Second // SIGKILL to either
)

// Down stops everything in the lab in dir, whatever state it is in, frozen
// processes too. With wipe it also removes the lab, but nothing in dir that is
// not the lab's. A directory that does not exist or is empty is down already.
func Down(ctx context.Context, dir string, wipe bool) error {
	if none, err := empty(dir); err == nil && none {
		return nil
	}
	l, err := Open(dir)
	if err != nil {
		return err
	}
	unlock, err := lock(l.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.stop(ctx); err != nil {
		return fmt.Errorf("stop lab in %s: %w", l.Dir, err)
	}
	if !wipe {
		return nil
	}
	if err := l.wipe(); err != nil {
		return fmt.Errorf("remove lab in %s: %w", l.Dir, err)
	}
	return nil
}

// stop asks first, so that the pair can end in good order, and then sees to it
// that nothing is left.
func (l *Lab) stop(ctx context.Context) error {
	l.thaw()
	if err := l.liftAll(); err != nil {
		return err
	}
	pids := l.Pids()
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, s := range servers() {
		if pids.Servers[s].Supervisor != 0 && l.mcctl(ask, "stop", "-a", "-M", l.Mcdir(s)) == nil {
			break
		}
	}
	if pids.Witness != 0 {
		// If it fails, the witness gets its signal below.
		_ = l.mcctl(ask, "arbiter", "stop", "-M", l.ArbiterDir())
	}
	for _, mcdir := range l.members() {
		if err := endDaemons(ctx, mcdir); err != nil {
			return err
		}
	}
	for _, s := range servers() {
		if err := l.endPostgres(ctx, s); err != nil {
			return err
		}
	}
	return l.endEtcd(ctx)
}

// thaw wakes whatever somebody has frozen with SIGSTOP: it could not end.
func (l *Lab) thaw() {
	for _, p := range processes() {
		if l.owns(p) {
			_ = syscall.Kill(p.pid, syscall.SIGCONT)
		}
	}
}

// owns tells whether a process belongs to the lab.
func (l *Lab) owns(p process) bool {
	for _, s := range servers() {
		if p.serves(l.Mcdir(s)) != "" || p.worksIn(l.Data(s)) {
			return true
		}
	}
	return p.serves(l.ArbiterDir()) != "" || l.etcdMember(p) >= 0
}

// endDaemons ends the watch before the supervisor, which it would start again.
func endDaemons(ctx context.Context, mcdir string) error {
	running := func() []int {
		supervisor, watch := daemons(processes(), mcdir)
		if watch != 0 {
			return []int{watch, supervisor}
		}
		return []int{supervisor}
	}
	err := endAll(ctx, running, syscall.SIGTERM, termTimeout)
	if err != nil {
		err = endAll(ctx, running, syscall.SIGKILL, killTimeout)
	}
	return err
}

// endPostgres shuts the server down fast; if that does not work, it kills all of
// its processes, as an immediate shutdown would.
func (l *Lab) endPostgres(ctx context.Context, s pair.Server) error {
	head := func() []int { return []int{postmaster(processes(), l.Data(s))} }
	if endAll(ctx, head, syscall.SIGINT, fastTimeout) == nil {
		return nil
	}
	all := func() (pids []int) {
		for _, p := range processes() {
			if p.worksIn(l.Data(s)) {
				pids = append(pids, p.pid)
			}
		}
		return pids
	}
	return endAll(ctx, all, syscall.SIGKILL, killTimeout)
}

// endAll sends a signal to the processes found (0 is none), once to each, and
// waits until no more are found.
func endAll(ctx context.Context, find func() []int, sig syscall.Signal, limit time.Duration) error {
	told := map[int]bool{}
	for deadline := time.Now().Add(limit); ; {
		left := 0
		for _, pid := range find() {
			if pid == 0 {
				continue
			}
			left++
			if !told[pid] {
				told[pid] = true
				_ = syscall.Kill(pid, sig)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end %d processes with %s: still there after %s", left, sig, limit)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wipe removes lab.json last: a wipe that was killed can be repeated, and until
// then Up would build anew.
func (l *Lab) wipe() error {
	l.state.Built = false
	if err := l.save(); err != nil {
		return err
	}
	if err := l.demolish(); err != nil {
		return err
	}
	if l.state.Mcctl == l.path("bin", "mcctl") {
		if err := os.RemoveAll(filepath.Dir(l.state.Mcctl)); err != nil {
			return err
		}
	}
	if err := os.Remove(l.path("lab.json")); err != nil {
		return err
	}
	err := os.Remove(l.Dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		return nil
	}
	return err
}
