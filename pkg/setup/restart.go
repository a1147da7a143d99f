package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/postgres"
	"mcctl/pkg/shell"
)

// Restart is for a first server that is complete but for a restart of PostgreSQL that
// nobody had agreed to. It tells what still waits for one.
func (s *Setup) Restart(ctx context.Context) (waiting []string, err error) {
	release, err := s.claim()
	if err != nil {
		return nil, err
	}
	defer release()
	free, err := s.keepSupervisorOut()
	if err != nil {
		return nil, err
	}
	defer free()
	unlock, err := s.claimData(Plan{})
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.mayRestart(); err != nil {
		return nil, err
	}
	if err := s.ensureRunning(ctx); err != nil {
		return nil, err
	}
	return s.restart(ctx)
}

// keepSupervisorOut holds the supervisor's own lock until free.
func (s *Setup) keepSupervisorOut() (free func(), err error) {
	f, err := os.OpenFile(s.path("run", "supervisor.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("restart PostgreSQL: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, s.leftToSupervisor()
	}
	return func() { _ = f.Close() }, nil
}

// mayRestart refuses where the other server may have become the primary: since a
// supervisor has run here, the one who knows is that. And what is down without us is not
// ours to start.
func (s *Setup) mayRestart() error {
	if s.wasStarted() {
		return s.leftToSupervisor()
	}
	if _, running := s.instance().Postmaster(); !running && !s.state.Restarting {
		return fmt.Errorf("restart PostgreSQL: it is down; mcctl start -M %s starts it", shell.Word(s.Dir))
	}
	return nil
}

// wasStarted tells that a supervisor has run here, which notes the cluster (agent.sameCluster).
func (s *Setup) wasStarted() bool {
	_, err := os.Lstat(s.path("cluster.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *Setup) leftToSupervisor() error {
	return fmt.Errorf("restart PostgreSQL: since mcctl start that is left to the supervisor: mcctl switch -M %s, or %s", shell.Word(s.Dir), s.stopAndStart())
}

// howToRestart are the commands that restart PostgreSQL now.
func (s *Setup) howToRestart() string {
	if s.wasStarted() {
		return s.stopAndStart()
	}
	return "mcctl init --restart -M " + shell.Word(s.Dir)
}

func (s *Setup) stopAndStart() string {
	return fmt.Sprintf("mcctl stop -M %[1]s, then mcctl start -M %[1]s", shell.Word(s.Dir))
}

// restart restarts PostgreSQL if an edit waits for that and somebody agrees; else it
// tells what waits.
func (s *Setup) restart(ctx context.Context) (waiting []string, err error) {
	if waiting, err = s.waiting(ctx); err != nil {
		return nil, err
	}
	if len(waiting) == 0 {
		return nil, s.restarted()
	}
	agreed, err := s.Agree(ctx, ForRestart, fmt.Sprintf("restart PostgreSQL now? %s waits for it; clients are cut off for a moment", strings.Join(waiting, ", ")))
	if err != nil || !agreed {
		return waiting, err
	}
	s.state.Restarting = true // so that a call that is cut off starts it again
	if err := s.save(); err != nil {
		return nil, err
	}
	in := s.instance()
	if pid, running := in.Postmaster(); running {
		s.Say("stopping PostgreSQL")
		bounded, cancel := context.WithTimeout(ctx, stopLimit)
		defer cancel()
		if err := in.Stop(bounded, pid, postgres.Fast); err != nil {
			return nil, err
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return nil, s.restarted()
}

func (s *Setup) restarted() error {
	if !s.state.Restarting {
		return nil
	}
	s.state.Restarting = false
	return s.save()
}

// stopLimit bounds the shutdown checkpoint.
const stopLimit = 5 * time.Minute

// waiting lists what of our settings waits for a restart. The files are looked at, not
// what pending_restart says: a reload may not have been through yet.
func (s *Setup) waiting(ctx context.Context) (names []string, err error) {
	have, err := s.describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range s.state.Plan.changes(have) {
		if c.restart {
			names = append(names, c.name)
		}
	}
	return names, nil
}
