package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// run runs one of PostgreSQL's programs to its end and passes every line it
// prints to line (which may be nil). The program and its children die with ctx,
// and the program with this process. An error carries its last lines.
func (in *Instance) run(ctx context.Context, passfile string, line func(string), name string, args ...string) error {
	if passfile == "" {
		return in.runWith(ctx, nil, line, name, args...)
	}
	return in.runWith(ctx, []string{"PGPASSFILE=" + passfile}, line, name, args...)
}

// runWith is run with more in the environment.
func (in *Instance) runWith(ctx context.Context, env []string, line func(string), name string, args ...string) error {
	// The kernel sends the death signal when the *thread* ends that forked the
	// program (PR_SET_PDEATHSIG, prctl(2)); so the goroutine stays on its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out := &lines{each: line}
	cmd := exec.CommandContext(ctx, in.program(name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	// In C the output is English; it is for people, but progress is read from it.
	cmd.Env = append(append(cleanEnv(os.Environ()), "LC_ALL=C"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	out.flush()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", name, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w; its last lines:\n%s", name, err, strings.Join(out.last, "\n"))
	}
	return nil
}

// lines cuts what is written to it at \n and \r and keeps the last few.
type lines struct {
	each func(string)
	rest []byte
	last []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexAny(l.rest, "\r\n")
		if i < 0 {
			return len(p), nil
		}
		l.add(string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) flush() {
	l.add(string(l.rest))
	l.rest = nil
}

func (l *lines) add(line string) {
	if line == "" {
		return
	}
	if !strings.Contains(line, " kB (") { // a line of progress explains no failure
		l.last = append(l.last, line)
		l.last = l.last[max(0, len(l.last)-tailLines):]
	}
	if l.each != nil {
		l.each(line)
	}
}
