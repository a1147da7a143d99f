package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// errYourTurn ends a run without --exec at the maintenance.
var errYourTurn = errors.New("do the maintenance now: the supervisor and PostgreSQL are down here")

// do does one step. All of them may be done again.
func (u *updater) do(ctx context.Context, step string) error {
	if step == updateMaintain {
		return u.maintain(ctx) // as long as it takes
	}
	ctx, cancel := context.WithTimeoutCause(ctx, u.o.Timeout, errTimeout)
	defer cancel()
	var err error
	switch step {
	case updateCheck:
		err = u.check(ctx)
	case updateSwitch:
		err = u.switchTo(ctx, u.conf.Other())
	case updateStop:
		err = u.stop(ctx)
	case updateStart:
		err = u.start(ctx)
	case updateAttach:
		err = u.attach(ctx)
	case updateSwitchBack:
		err = u.switchTo(ctx, u.conf.Me())
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("not done after %s", u.o.Timeout)
	}
	return err
}

// check refuses to begin where the way back would not work.
func (u *updater) check(ctx context.Context) error {
	st, err := u.control.status(ctx)
	if err != nil {
		return err
	}
	if !whole(st) {
		return failed(exitRefused, fmt.Errorf("the pair is not whole: %s, %s", st.Summary, st.Record), "see mcctl status -M %s", u.o.Mcdir)
	}
	if st.Held {
		return failed(exitRefused, fmt.Errorf("an operator has detached the standby, so it would not be attached again"), "mcctl attach -M %s, on the primary", u.o.Mcdir)
	}
	report, err := makeReport(ctx, u.env, u.o.Mcdir)
	if err != nil {
		return err
	}
	for _, v := range report.Verdicts {
		if v.Ability == check.Switch && v.Works != check.Yes {
			return failed(exitRefused, fmt.Errorf("a switch would not work now, because of: %v", v.Because), "see mcctl check -M %s", u.o.Mcdir)
		}
	}
	return nil
}

// whole: paired, with both servers in their roles. Failover may be disabled.
func whole(st wire.Status) bool {
	for _, s := range st.Servers {
		if s.Supervisor != "here" || s.Postgres != wire.ReportOpen && s.Postgres != wire.ReportStandby {
			return false
		}
	}
	return st.Record.Mode == pair.Paired && (st.Job == nil || st.Job.Final)
}

// switchTo makes a server the primary, unless it is, and waits until the pair is
// whole. A switch that an earlier run has begun is waited for, also when it began after
// this run had looked for one.
func (u *updater) switchTo(ctx context.Context, to pair.Server) error {
	for {
		st, newest, err := u.untilWhole(ctx)
		if err != nil || st.Record.Primary == to {
			return err
		}
		err = runSwitch(ctx, u.quiet, &switchOptions{Mcdir: u.o.Mcdir, Output: formText, Timeout: u.o.Timeout})
		if err == nil {
			return u.attach(ctx)
		}
		if now, unseen := u.newestSwitch(ctx); !errors.Is(err, wire.ErrRefused) || unseen == nil && now.ID == newest.ID {
			return err
		}
	}
}

func (u *updater) attach(ctx context.Context) error {
	_, _, err := u.untilWhole(ctx)
	return err
}

// untilWhole waits until the pair is whole and no switch is under way. It returns the status
// that says so, and the newest switch, which has ended.
func (u *updater) untilWhole(ctx context.Context) (wire.Status, wire.Job, error) {
	before := ""
	for {
		newest, unseen := u.newestSwitch(ctx) // before the status, which so tells what has come of it
		st, err := u.control.status(ctx)
		underWay, now := newest.ID != "" && !newest.Final, waitingFor(st)
		if underWay {
			now = fmt.Sprintf("%s to %s goes on", newest.ID, newest.To)
		}
		switch {
		case errors.Is(err, errNotRunning):
			return st, newest, err
		case err == nil && unseen == nil && !underWay && whole(st):
			return st, newest, nil
		case err == nil && now != before:
			before = now
			u.say("%s", before)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return st, newest, err
		}
	}
}

// newestSwitch is the newest that either server knows, also on a standby, whose status tells
// of its own only; without an ID when there was none.
func (u *updater) newestSwitch(ctx context.Context) (job wire.Job, err error) {
	err = u.control.ask(ctx, wire.KindJob, wire.JobRequest{}, &job)
	if answered(err) {
		return job, nil
	}
	return job, err
}

// stop takes the standby down. It never stops a primary: after a failover the plan
// does not hold any more.
func (u *updater) stop(ctx context.Context) error {
	for {
		st, err := u.control.status(ctx)
		switch {
		case err == nil:
			err = u.stopStandby(st)
			if err == nil {
				err = runStop(ctx, u.quiet, &stopOptions{Mcdir: u.o.Mcdir, Timeout: u.o.Timeout})
			}
			if err != nil && !errors.Is(err, errNotRunning) {
				return err
			}
		case !errors.Is(err, errNotRunning):
			return err
		}
		// One that an earlier run asked to stop is on its way; one that was killed is
		// being started again.
		kept, err := isKept(u.o.Mcdir)
		if err != nil {
			return notSeen(u.o.Mcdir, err)
		}
		if !kept {
			return u.down()
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// stopStandby refuses to stop what others need.
func (u *updater) stopStandby(st wire.Status) error {
	if st.Record.Primary == st.Local {
		return failed(exitRefused, fmt.Errorf("%s has become the primary meanwhile", st.Local), "begin anew: mcctl rolling-update --abort -M %s", u.o.Mcdir)
	}
	for _, s := range st.Servers {
		if s.Server != st.Local && s.Postgres != wire.ReportOpen {
			return failed(exitRefused, fmt.Errorf("%s is the primary, but not open: %s", s.Server, s.Postgres), "see mcctl status -M %s", u.o.Mcdir)
		}
	}
	return nil
}

// down makes sure that PostgreSQL does not run here past the supervisor.
func (u *updater) down() error {
	if pid, running := instanceOf(u.conf).Postmaster(); running {
		return failed(exitFailed, fmt.Errorf("PostgreSQL runs here without a supervisor, as process %d", pid), "stop it: mcctl stop -e -M %s", u.o.Mcdir)
	}
	return nil
}

// maintain runs the maintenance while this server is down.
func (u *updater) maintain(ctx context.Context) error {
	if err := u.stop(ctx); err != nil { // somebody may have started it
		return err
	}
	held, err := u.holdCommand()
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	switch {
	case u.o.Done:
		return nil
	case u.Exec == "":
		return errYourTurn
	}
	u.Tries++
	if err := u.save(u.o.Mcdir); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", u.Exec)
	cmd.Env = append(os.Environ(), "MCCTL_SERVER="+string(u.Server), "MCCTL_PAIR="+u.conf.Pair.Name, "MCCTL_MCDIR="+u.o.Mcdir,
		"MCCTL_DATA_DIRECTORY="+u.conf.Server.DataDirectory, "MCCTL_BIN_DIRECTORY="+u.conf.Server.BinDirectory, fmt.Sprintf("MCCTL_TRY=%d", u.Tries))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = u.env.Stdin, itself(u.quiet.Stdout), itself(u.env.Stderr)
	cmd.ExtraFiles = []*os.File{held}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run the maintenance: %w", err)
	}
	return nil
}

// holdCommand locks a file that the maintenance inherits. A run that was killed leaves
// its maintenance running; the kernel keeps the lock until that has ended, too.
func (u *updater) holdCommand() (*os.File, error) {
	path := filepath.Join(u.o.Mcdir, "run", "rolling-command.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the maintenance: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, failed(exitRefused, errors.New("the maintenance that an earlier run began still goes on"), "wait until it has ended; who it is: fuser %s", path)
	}
	return f, nil
}

// start starts this server and waits until PostgreSQL is up. A supervisor that an earlier
// run has begun to start is waited for, and started anew if a stop ends it.
func (u *updater) start(ctx context.Context) error {
	o := &startOptions{Timeout: u.o.Timeout}
	o.Mcdir = u.o.Mcdir
	for {
		st, err := u.control.status(ctx)
		watch, unseen := watchOf(u.o.Mcdir)
		switch {
		case err == nil && isUp(st, false):
			return nil
		case unseen != nil:
			return notSeen(u.o.Mcdir, unseen)
		case err == nil || watch == 0:
			if err := runStart(ctx, u.quiet, o); !errors.Is(err, errNotRunning) {
				return err
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
