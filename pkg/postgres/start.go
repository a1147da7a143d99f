package postgres

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// StartOptions is what a start says on the command line, where it wins over
// postgresql.conf and ALTER SYSTEM.
type StartOptions struct {
	HBAFile  string            // instead of the configured pg_hba.conf; empty: as configured
	Settings map[string]string // further settings, e.g. restart_after_crash=off
}

// child is a postmaster started by this process.
type child struct {
	pid     int
	process *os.Process
	logFrom int64         // length of the log before the start
	exited  chan struct{} // closed once it is reaped
}

// Start launches the postmaster and returns at once; see WaitReady. It becomes
// leader of its own session, so it lives on when this process ends. When a
// postmaster of this data directory runs already, that one's pid is returned and
// the options are not applied. ErrStillInUse means: try again soon. On any error
// nothing was started.
func (in *Instance) Start(opt StartOptions) (pid int, err error) {
	if os.Geteuid() == 0 {
		return 0, errors.New("start PostgreSQL: it refuses to run as root; run as the user that owns the data directory")
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if pid, running := in.runningChild(); running {
		return pid, nil
	}
	if pid, running := in.Postmaster(); running {
		return pid, nil
	}
	if err := in.clearLock(); err != nil {
		return 0, fmt.Errorf("start PostgreSQL: %w", err)
	}
	c, err := in.launch(opt)
	if err != nil {
		return 0, fmt.Errorf("start PostgreSQL: %w", err)
	}
	in.child = c
	return c.pid, nil
}

// runningChild knows of a postmaster that has not written postmaster.pid yet.
func (in *Instance) runningChild() (pid int, running bool) {
	if in.child == nil {
		return 0, false
	}
	if ending(in.child.pid) {
		<-in.child.exited // a start must not take it for the server that it asked for
	}
	select {
	case <-in.child.exited:
		return 0, false
	default:
		return in.child.pid, true
	}
}

func (in *Instance) launch(opt StartOptions) (*child, error) {
	log, err := os.OpenFile(in.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	length, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	cmd := exec.Command(in.program("postgres"), in.arguments(opt)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = cleanEnv(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{pid: cmd.Process.Pid, process: cmd.Process, logFrom: length, exited: make(chan struct{})}
	go func() {
		defer close(c.exited)
		_ = cmd.Wait() // reaps; how it ended stands in the log
	}()
	return c, nil
}

func (in *Instance) arguments(opt StartOptions) []string {
	args := []string{"-D", in.Data}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	if in.ConfigFile != "" {
		set("config_file", in.ConfigFile)
		// Without it a data_directory in that file would win over -D (SelectConfigFiles
		// in guc.c, 13 to 18), and another cluster would start.
		set("data_directory", in.Data)
	}
	if opt.HBAFile != "" {
		set("hba_file", opt.HBAFile)
	}
	for _, name := range slices.Sorted(maps.Keys(opt.Settings)) {
		set(name, opt.Settings[name])
	}
	return args
}

// cleanEnv drops what must not reach PostgreSQL: systemd's channels, which belong
// to the supervisor (a backend could speak in its name), and libpq's variables,
// which would change where and how a walreceiver connects.
func cleanEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM":
			return true
		}
		// PG_OOM_ADJUST_* and the like are meant for the server, and pgBackRest's for its
		// archive_command.
		return strings.HasPrefix(name, "LISTEN_") ||
			strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PG_") && !strings.HasPrefix(name, "PGBACKREST_")
	})
}
