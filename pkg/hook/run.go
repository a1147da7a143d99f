package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Grace is how long a command has between SIGTERM, at the end of its time, and
// SIGKILL; and then once more until it is left behind, stuck in the kernel.
const Grace = time.Second

const (
	paceMin = time.Millisecond
	paceMax = 50 * time.Millisecond
	// slowly is the pace at which the output of a command that floods is read.
	slowly = 10 * time.Millisecond
	// farewell bounds how long the rest of the output is read after the end. Only a
	// process that has left the command's group can hold it open.
	farewell = 200 * time.Millisecond
)

// Run runs one command to its end. It returns at the latest at the command's timeout
// and two Graces; the end of ctx is the end of the command's time. Every process of
// the command's group is killed at its end, also those it left in the background.
// line gets what it prints to standard output and error.
func Run(ctx context.Context, cmd Command, call Call, line func(string)) Outcome {
	began := time.Now()
	out := Outcome{Exit: -1}
	c, err := begin(cmd, call, line)
	if err != nil {
		out.Err = fmt.Errorf("could not be started: %w", err)
		return out
	}
	c.attend(ctx, began.Add(cmd.Timeout), &out)
	out.Took = time.Since(began)
	return out
}

// child is a command that runs.
type child struct {
	cmd    *exec.Cmd
	pipe   *os.File
	output output
	ended  bool // the pipe has been closed by all who could write
	pace   time.Duration
}

func begin(cmd Command, call Call, line func(string)) (*child, error) {
	if err := Judge(cmd.Path); err != nil {
		return nil, err
	}
	if err := keepDescriptors(); err != nil {
		return nil, err
	}
	facts, err := factsFile(call)
	if err != nil {
		return nil, err
	}
	defer facts.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer write.Close()
	run := exec.Command(cmd.Path, call.Args()...)
	run.Dir, run.Env = call.Mcdir, call.Environ(os.Getenv)
	run.Stdin, run.Stdout, run.Stderr = facts, write, write
	run.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := run.Start(); err != nil {
		_ = read.Close()
		return nil, err
	}
	return &child{cmd: run, pipe: read, output: output{hand: line}, pace: paceMin}, nil
}

// factsFile holds the call as JSON. It is a file in memory and not a pipe: nobody
// has to write while the command reads, and one that does not read harms nobody.
func factsFile(call Call) (*os.File, error) {
	text, err := json.Marshal(call)
	if err != nil {
		return nil, fmt.Errorf("encode the facts: %w", err)
	}
	fd, err := unix.MemfdCreate("facts", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file for the facts: %w", err)
	}
	f := os.NewFile(uintptr(fd), "facts")
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write the facts: %w", err)
	}
	return f, nil
}

// keepDescriptors makes sure that no descriptor but the standard ones goes on to a
// child. Go opens its own that way; what this process was started with may not be.
func keepDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd) // one that was closed meanwhile does not mind
		}
	}
	return nil
}

// attend reads the output and sees the command to its end.
func (c *child) attend(ctx context.Context, limit time.Time, out *Outcome) {
	defer c.pipe.Close()
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}
	for !c.exited() {
		if now := time.Now(); ctx.Err() != nil || !now.Before(limit) {
			if len(signals) == 0 {
				out.Err = errors.New("cannot be killed: it is stuck in the kernel and was left behind")
				c.output.end()
				_ = c.cmd.Process.Release()
				return
			}
			if ctx.Err() != nil {
				out.Err = errors.New("ended, since the supervisor ends")
			} else if out.Err == nil {
				out.TimedOut = true
			}
			c.signal(signals[0])
			signals = signals[1:]
			ctx, limit = context.WithoutCancel(ctx), now.Add(Grace)
		}
		c.read(c.pace)
	}
	c.signal(syscall.SIGKILL) // what is left of its group; the leader is not reaped yet, so the number is still its own
	for end := time.Now().Add(farewell); !c.ended && time.Now().Before(end); {
		c.read(c.pace)
	}
	c.output.end()
	c.reap(out)
}

// signal reaches every process of the command's session that has not made a group
// of its own.
func (c *child) signal(sig syscall.Signal) { _ = syscall.Kill(-c.cmd.Process.Pid, sig) }

// exited looks without reaping.
func (c *child) exited() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0 || errors.Is(err, unix.ECHILD)
}

func (c *child) reap(out *Outcome) {
	_ = c.cmd.Wait() // no goroutine of its own: the streams are files
	status, known := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case !known:
	case status.Exited():
		out.Exit = status.ExitStatus()
	case status.Signaled():
		out.Signal = status.Signal()
	}
}

// read takes what there is, and waits no longer than pause for it.
func (c *child) read(pause time.Duration) {
	if c.ended {
		time.Sleep(pause)
		c.pace = min(2*c.pace, paceMax)
		return
	}
	if c.output.flooded() {
		time.Sleep(slowly)
	}
	_ = c.pipe.SetReadDeadline(time.Now().Add(pause))
	buffer := make([]byte, 16<<10)
	n, err := c.pipe.Read(buffer)
	c.output.write(buffer[:n])
	switch {
	case n > 0:
		c.pace = paceMin
	case os.IsTimeout(err):
		c.pace = min(2*c.pace, paceMax)
	case err != nil:
		c.ended, c.pace = true, paceMin
	}
}
