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

	mu       sync.Mutex
	children children
}

// Look returns what check.Looker sees.
func (a *Aside) Look(ctx context.Context) (*check.Side, error) {
	if !a.mu.TryLock() {
		return nil, fmt.Errorf("%w: somebody else has it looked at just now; try again in a moment", wire.ErrRefused)
	}
	defer a.mu.Unlock()
	if a.children.reap(0); len(a.children.left) > 0 {
		return nil, fmt.Errorf("%w: process %d has looked at it and hangs: perhaps a disk does, see the kernel's log", wire.ErrRefused, a.children.left[0])
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.Patience, fmt.Errorf("looking did not end within %s: perhaps a disk hangs", a.Patience))
	defer cancel()
	var told []byte
	var unread error
	err := a.children.run(ctx, exec.Command(a.Program, LookCommand, a.Mcdir), func(read *os.File) { told, unread = io.ReadAll(read) })
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	side := &check.Side{}
	if err := errors.Join(err, unread, json.Unmarshal(told, side)); err != nil {
		return nil, fmt.Errorf("look at this server: %w", err)
	}
	return side, nil
}
