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
	"mcctl/pkg/disk"
	"mcctl/pkg/wire"
)

// The hidden commands by which Aside has this server looked at; each prints JSON.
const (
	// LookCommand takes the management directory and prints a check.Side.
	LookCommand = "look-here"
	// RoomCommand takes the data directory and prints a Room.
	RoomCommand = "look-for-room"
)

// Aside looks at this server in a process of its own: a process that touches a hung disk
// hangs with it, perhaps where no signal reaches it, and a supervisor must not. One looks
// at a time, and one that hangs is not followed by another.
type Aside struct {
	Program string // mcctl
	// Command and Dir are what it runs, and on which directory.
	Command, Dir string
	// Patience bounds the look.
	Patience time.Duration

	mu       sync.Mutex
	children children
}

// Room is how much PostgreSQL may still write, and how large a segment of its log is, in
// bytes; or why that could not be found out.
type Room struct {
	Spaces  []disk.Space `json:"spaces"`
	Segment uint64       `json:"segment"`
	Error   string       `json:"error,omitempty"`
}

// Look returns what check.Looker sees.
func (a *Aside) Look(ctx context.Context) (*check.Side, error) {
	side := &check.Side{}
	return side, a.ask(ctx, side)
}

// Room measures it now.
func (a *Aside) Room(ctx context.Context) (r Room, err error) {
	if err = a.ask(ctx, &r); err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func (a *Aside) ask(ctx context.Context, seen any) error {
	if !a.mu.TryLock() {
		return fmt.Errorf("%w: somebody else has it looked at just now; try again in a moment", wire.ErrRefused)
	}
	defer a.mu.Unlock()
	if a.children.reap(0); len(a.children.left) > 0 {
		return fmt.Errorf("%w: process %d has looked at it and hangs: perhaps a disk does, see the kernel's log", wire.ErrRefused, a.children.left[0])
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.Patience, fmt.Errorf("looking did not end within %s: perhaps a disk hangs", a.Patience))
	defer cancel()
	var told []byte
	var unread error
	err := a.children.run(ctx, exec.Command(a.Program, a.Command, a.Dir), func(read *os.File) { told, unread = io.ReadAll(read) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := errors.Join(err, unread, json.Unmarshal(told, seen)); err != nil {
		return fmt.Errorf("look at this server: %w", err)
	}
	return nil
}
