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
	"mcctl/pkg/clock"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/lost"
	"mcctl/pkg/pair"
)

// Peer is the connection to the other supervisor.
type Peer interface {
	Call(ctx context.Context, kind string, request, answer any) error
	Kick() // report at once
}

// Hands is what the actions work with.
type Hands struct {
	Config   *config.Config
	Postgres Postgres
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
	// Aside runs a step beside the others; outcome waits for its end, or for that of ctx.
	Aside func(step func() error) (outcome func(ctx context.Context) error)
	// Tell puts a line into the events; it may be nil.
	Tell func(text string)
	// Discarded is told of transactions that are about to be discarded; it may be nil.
	Discarded func(lost.Report)
	// CallFencing begins to fence the other server and does not wait for the outcome.
	CallFencing func(context.Context) error
	// Major is PostgreSQL's major version.
	Major int
	// Clock is this machine's unless given, Site its files.
	Clock clock.Clock
	Site  Site

	saving sync.Mutex // of this server's own files

	aside    sync.Mutex // held while old data is put aside or deleted
	swaps    int        // how often it was put aside
	dropping bool       // somebody waits until it can be deleted
}

// Do performs one action. It returns when the action is done, has failed or ctx
// was cancelled.
func (h *Hands) Do(ctx context.Context, action decide.Action) error {
	do, known := map[decide.Action]func(context.Context) error{
		decide.Stop:         h.Stop,
		decide.Retire:       h.Retire,
		decide.Restart:      h.Restart,
		decide.Close:        h.Withdraw,
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

func (h *Hands) now() time.Duration { return clock.Or(h.Clock).Now() }

func (h *Hands) pause(ctx context.Context, d time.Duration) error {
	return clock.Pause(clock.Or(h.Clock), ctx, d)
}

// within bounds what follows; a nil cause is the usual one.
func (h *Hands) within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return clock.Or(h.Clock).Timeout(ctx, d, cause)
}

func (h *Hands) site() Site {
	if h.Site == nil {
		return files{h}
	}
	return h.Site
}

// until polls a condition on the board, looking anew each time.
func (h *Hands) until(ctx context.Context, what string, every time.Duration, met func(board.Sight) bool) error {
	for {
		if met(h.Board.Read()) {
			return nil
		}
		h.Look()
		if err := h.pause(ctx, every); err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}
