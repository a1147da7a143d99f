package observe

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// endPatience is how long a child that was killed may take to end.
const endPatience = 200 * time.Millisecond

// children run what touches disks. One may hang in the kernel where no signal reaches it:
// then it is left behind, and nobody waits for it.
type children struct {
	left []int // those that did not end when they were killed
}

// run starts a child, has what it prints read until read returns, and kills it. The end
// of ctx ends the reading.
func (c *children) run(ctx context.Context, cmd *exec.Cmd, read func(*os.File)) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Now()) })
	defer stop()
	read(out)
	_ = cmd.Process.Kill()
	c.left = append(c.left, cmd.Process.Pid)
	_ = cmd.Process.Release()
	c.reap(endPatience)
	return nil
}

// reap collects the children that have ended.
func (c *children) reap(patience time.Duration) {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c.left = slices.DeleteFunc(c.left, func(pid int) bool {
			var status syscall.WaitStatus
			ended, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
			return ended != 0 || err != nil
		})
		if len(c.left) == 0 || time.Since(began) >= patience {
			return
		}
	}
}
