// Package act carries out the actions that package decide chose. It is the only
// package that changes anything: PostgreSQL, its files, the record. Every action
// is idempotent and may be cut off at any point by kill -9 or power loss: the same
// facts then lead to the same action again. Package agent runs at most one action
// at a time and owns its goroutine.
package act

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
)

// Peer is the connection to the other supervisor.
type Peer interface {
	Call(ctx context.Context, kind string, request, answer any) error
	Kick() // report at once
}

// Hands is what the actions work with.
type Hands struct {
	Config   *config.Config
	Postgres *postgres.Instance
	Keeper   arbiter.Keeper
	Peer     Peer
	Board    *board.Board
	Copy     *arbiter.Copy
	Jobs     *Jobs
	Rebuilds *Rebuilds
	Log      *slog.Logger
	// Look asks the local watcher for a look now.
	Look func()
	// Background runs work that nobody waits for, until the supervisor ends.
	Background func(name string, work func(context.Context) error)
	// Aside runs a step beside the others; its outcome comes over the channel.
	Aside func(step func() error) <-chan error
	// Tell puts a line into the events; it may be nil.
	Tell func(text string)
	// CallFencing begins to fence the other server and does not wait for the outcome.
	CallFencing func(context.Context) error
	// Major is PostgreSQL's major version.
	Major int

	saving sync.Mutex // of this server's own files
}

// Do performs one action. It returns when the action is done, has failed or ctx
// was cancelled.
func (h *Hands) Do(ctx context.Context, action decide.Action) error {
	do, known := map[decide.Action]func(context.Context) error{
		decide.Stop:         h.Stop,
		decide.Retire:       h.Retire,
		decide.Restart:      h.Restart,
		decide.Close:        h.Retire,
		decide.StartOpen:    h.StartOpen,
		decide.StartGated:   h.StartGated,
		decide.StartStandby: h.StartStandby,
		decide.OpenGate:     h.OpenGate,
		decide.Detach:       h.Detach,
		decide.Attach:       h.Attach,
		decide.TakeOver:     h.TakeOver,
		decide.HandOver:     h.HandOver,
		decide.Switch:       h.Switch,
		decide.Promote:      h.Promote,
		decide.Rejoin:       h.Rejoin,
		decide.Rebuild:      h.Rebuild,
		decide.PutRight:     h.PutRight,
		decide.Fence:        h.CallFencing,
	}[action]
	if !known {
		return fmt.Errorf("act: no hands for %q", action)
	}
	return do(ctx)
}

func (h *Hands) me() pair.Server    { return h.Config.Me() }
func (h *Hands) other() pair.Server { return h.Config.Other() }

// progress shows how far a long action is.
func (h *Hands) progress(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	h.Board.Note(func(s *board.Sight) { s.Progress = text })
}

// until polls a condition on the board, looking anew each time.
func (h *Hands) until(ctx context.Context, what string, every time.Duration, met func(board.Sight) bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if met(h.Board.Read()) {
			return nil
		}
		h.Look()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		}
	}
}
