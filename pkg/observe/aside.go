package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/wire"
)

// LookCommand is the hidden command by which Aside has this server looked at.
const LookCommand = "look-here"

// Aside looks at this server in a process of its own: a process that touches a hung disk
// hangs with it, perhaps where no signal reaches it, and a supervisor must not. One looks
// at a time, and one that hangs is not followed by another.
type Aside struct {
	Program string // mcctl
	Mcdir   string
	// Patience bounds the look.
	Patience time.Duration

	mu   sync.Mutex
	left int // the child that did not end when it was killed
}

// Look returns what check.Looker sees.
func (a *Aside) Look(ctx context.Context) (*check.Side, error) {
	if !a.mu.TryLock() {
		return nil, fmt.Errorf("%w: somebody else has it looked at just now; try again in a moment", wire.ErrRefused)
	}
	defer a.mu.Unlock()
	if a.reap(0); a.left != 0 {
		return nil, fmt.Errorf("%w: process %d has looked at it and hangs: perhaps a disk does, see the kernel's log", wire.ErrRefused, a.left)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.Patience, fmt.Errorf("looking did not end within %s: perhaps a disk hangs", a.Patience))
	defer cancel()
	told, err := a.child(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	side := &check.Side{}
	if err := errors.Join(err, json.Unmarshal(told, side)); err != nil {
		return nil, fmt.Errorf("look at this server: %w", err)
	}
	return side, nil
}

// child is what the child has printed when it ended, or when ctx did.
func (a *Aside) child(ctx context.Context) ([]byte, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command(a.Program, LookCommand, a.Mcdir)
	cmd.Stdout = write
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(time.Now()) })
	defer stop()
	told, err := io.ReadAll(read)
	_ = cmd.Process.Kill()
	a.left = cmd.Process.Pid
	_ = cmd.Process.Release()
	a.reap(endPatience)
	return told, err
}

// reap collects the child if it has ended.
func (a *Aside) reap(patience time.Duration) {
	for began := time.Now(); a.left != 0; time.Sleep(5 * time.Millisecond) {
		var status syscall.WaitStatus
		if ended, err := syscall.Wait4(a.left, &status, syscall.WNOHANG, nil); ended != 0 || err != nil {
			a.left = 0
		} else if time.Since(began) >= patience {
			return
		}
	}
}
