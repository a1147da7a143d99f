package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// partingPatience is how long the end of the supervisor waits for its goroutines. One
// that a hung disk holds would keep it, and whoever stops it, for ever; to leave it
// behind is no worse than a crash at that point, which everything here survives.
const partingPatience = 10 * time.Second

// group owns the supervisor's goroutines: they end together, and the first error
// is the supervisor's.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	// begins runs work beside the caller.
	begins func(work func())

	mu sync.Mutex
	at []string // what runs, by name
}

// errDone ends the group in good order.
var errDone = errors.New("stopped")

func newGroup() *group {
	g := &group{}
	g.begins = g.wg.Go
	return g
}

func (g *group) start(ctx context.Context) { g.ctx, g.cancel = context.WithCancelCause(ctx) }

// begin runs work that the end of the group waits for.
func (g *group) begin(name string, work func()) {
	g.begins(func() {
		g.note(func() { g.at = append(g.at, name) })
		defer g.note(func() { i := slices.Index(g.at, name); g.at = slices.Delete(g.at, i, i+1) })
		work()
	})
}

func (g *group) note(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *group) run(name string, work func(context.Context) error) {
	g.begin(name, func() {
		if err := work(g.ctx); err != nil && g.ctx.Err() == nil {
			g.cancel(fmt.Errorf("%s: %w", name, err))
		}
	})
}

func (g *group) stop(why error) { g.cancel(why) }

// wait returns when the group has ended, and says what it left behind after patience.
func (g *group) wait(patience time.Duration) (left string, err error) {
	<-g.ctx.Done()
	ended := make(chan struct{})
	go func() { g.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		g.note(func() { left = strings.Join(g.at, ", ") })
	}
	if err := context.Cause(g.ctx); !errors.Is(err, errDone) && !errors.Is(err, context.Canceled) {
		return left, err
	}
	return left, nil
}

// background runs work that nobody waits for; its failure is told and ends nothing.
func (a *Agent) background(name string, work func(context.Context) error) {
	a.group.begin(name, func() {
		if err := work(a.group.ctx); err != nil && a.group.ctx.Err() == nil {
			a.log.Warn(name+" failed", "error", err)
		}
	})
}

// backgroundOnce is background for what the loop asks for at every turn: it is not begun
// again while it is under way.
func (a *Agent) backgroundOnce(underWay *atomic.Bool, name string, work func(context.Context) error) {
	if !underWay.CompareAndSwap(false, true) {
		return
	}
	a.background(name, func(ctx context.Context) error {
		defer underWay.Store(false)
		return work(ctx)
	})
}

// aside runs a step that somebody waits for.
func (a *Agent) aside(step func() error) (outcome func(context.Context) error) {
	done := make(chan struct{})
	var err error
	a.group.begin("a step", func() {
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

// part waits for the end of everything.
func (a *Agent) part() error {
	left, err := a.group.wait(partingPatience)
	if left != "" {
		a.log.Warn("the supervisor ends without what does not end; a disk that hangs does that", "left", left)
	}
	return err
}
