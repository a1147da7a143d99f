package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/postgres"
)

// How long killed processes may take to disappear, and PostgreSQL to leave
// without a checkpoint before it is killed too.
const (
	killPatience      = 10 * time.Second
	immediatePatience = 10 * time.Second
)

// runKill is stop -e: it asks nobody. The watch goes first, else it would start
// the supervisor again.
func runKill(ctx context.Context, env *Env, o *stopOptions) error {
	var c *config.Config
	if !o.McOnly { // read it before anything is killed: without it PostgreSQL cannot be found
		var err error
		if c, err = loadConfig(o.Mcdir); err != nil {
			return err
		}
		if owner, err := ownerOf(c.Server.DataDirectory); err == nil && int(owner) != env.Euid() { // see mayJudge
			return notTheOwner("stop -e", env.Euid(), owner, c)
		}
	}
	watch, err := watchOf(o.Mcdir)
	if err == nil {
		_, err = supervisorOf(o.Mcdir)
	}
	if err != nil { // before the watch is killed and the supervisor left alone
		return inCommand("stop -e", notSeen(o.Mcdir, err))
	}
	found := false
	for _, p := range []struct {
		name string
		find finder
	}{{"watch", watchOf}, {"supervisor", supervisorOf}} {
		pid, err := kill(ctx, o.Mcdir, p.find)
		if err != nil {
			return failed(exitFailed, fmt.Errorf("kill %s %d: %w", p.name, pid, err), "run mcctl as the user who owns %s", o.Mcdir)
		}
		if pid != 0 {
			found = true
			_, _ = fmt.Fprintf(env.Stdout, "killed %s %d\n", p.name, pid)
		}
	}
	if !o.McOnly {
		pid, err := stopAtOnce(ctx, instanceOf(c))
		if err != nil {
			return err
		}
		if pid != 0 {
			found = true
			_, _ = fmt.Fprintf(env.Stdout, "stopped PostgreSQL %d at once; its next start recovers from the log\n", pid)
		}
	}
	if !found {
		return failed(exitNotRunning, fmt.Errorf("stop -e: nothing is running here: %s", o.Mcdir), "start it: mcctl start -M %s", o.Mcdir)
	}
	if watch != 0 {
		return nil
	}
	again, err := isSucceeded(ctx, o.Mcdir, watchOf, supervisorOf)
	if again {
		return failed(exitFailed, errors.New("stop -e: what was killed has been started again, and PostgreSQL with it: systemd does that, or whatever else runs the supervisor"),
			"stop it there first, as by systemctl stop mcctl@%s; if PostgreSQL runs after that: mcctl stop -e -M %s", filepath.Base(o.Mcdir), o.Mcdir)
	}
	return err
}

// kill ends the process that find names and waits until it is gone.
func kill(ctx context.Context, mcdir string, find finder) (pid int, err error) {
	if pid, err = find(mcdir); pid == 0 {
		return 0, err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return pid, err
	}
	ctx, cancel := context.WithTimeout(ctx, killPatience)
	defer cancel()
	for {
		if left, err := find(mcdir); left != pid {
			return pid, err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return pid, fmt.Errorf("still there after SIGKILL: %w", err)
		}
	}
}

// stopAtOnce ends PostgreSQL without a checkpoint, and kills it if even that hangs.
func stopAtOnce(ctx context.Context, in *postgres.Instance) (pid int, err error) {
	pid, running := in.Postmaster()
	if !running {
		return 0, nil
	}
	bounded, cancel := context.WithTimeout(ctx, immediatePatience)
	defer cancel()
	if in.Stop(bounded, pid, postgres.Immediate) == nil {
		return pid, nil
	}
	if err := in.Kill(pid); err != nil {
		return pid, failed(exitFailed, err, "run mcctl as the user who owns %s", in.Data)
	}
	return pid, nil
}
