package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// group owns the supervisor's goroutines: they end together, and the first error
// is the supervisor's.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	// begins runs work beside the caller.
	begins func(work func())
}

// errDone ends the group in good order.
var errDone = errors.New("stopped")

func newGroup() *group {
	g := &group{}
	g.begins = g.wg.Go
	return g
}

func (g *group) start(ctx context.Context) { g.ctx, g.cancel = context.WithCancelCause(ctx) }

func (g *group) run(name string, work func(context.Context) error) {
	g.begins(func() {
		if err := work(g.ctx); err != nil && g.ctx.Err() == nil {
			g.cancel(fmt.Errorf("%s: %w", name, err))
		}
	})
}

func (g *group) stop(why error) { g.cancel(why) }

func (g *group) wait() error {
	<-g.ctx.Done()
	g.wg.Wait()
	if err := context.Cause(g.ctx); !errors.Is(err, errDone) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// background runs work that nobody waits for; its failure is told and ends nothing.
func (a *Agent) background(name string, work func(context.Context) error) {
	a.group.begins(func() {
		if err := work(a.group.ctx); err != nil && a.group.ctx.Err() == nil {
			a.log.Warn(name+" failed", "error", err)
		}
	})
}

// aside runs a step that somebody waits for.
func (a *Agent) aside(step func() error) (outcome func(context.Context) error) {
	done := make(chan struct{})
	var err error
	a.group.begins(func() {
		defer close(done)
		err = step()
	})
	return func(ctx context.Context) error {
		if !a.clock.Wait(ctx, -1, done) {
			return context.Cause(ctx)
		}
		return err
	}
}
