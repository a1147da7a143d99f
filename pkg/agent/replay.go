package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mcctl/pkg/act"
	"mcctl/pkg/board"
	"mcctl/pkg/clock"
)

// replayLimit ends a pause of replay whose primary does not come back for it.
const replayLimit = 3 * time.Second

// replayHold pauses replay for the attach proof and never for long.
type replayHold struct {
	warm  *warm[act.Session]
	clock clock.Clock
	mu    sync.Locker
	// forget ends the expiry; nil while nothing is paused.
	forget func()
	pauses *pauseState
}

// pauseState is what is known of a pause without asking.
type pauseState struct {
	held     atomic.Bool // an attach proof needs it
	left     atomic.Bool // there may be one that this life, or an earlier one, did not come to end
	resuming atomic.Bool // that is being ended
}

// endLeftPause resumes replay where a supervisor was killed before it could, or could not. A
// pause of an operator's own ends with the supervisor too, and otherwise stays: nobody
// can tell the two apart.
func (a *Agent) endLeftPause(s board.Sight) {
	p := a.pauses
	if s.PID == 0 || s.LookAt == 0 || !s.Look.InRecovery || p.held.Load() {
		return
	}
	if !s.Look.ReplayPaused {
		p.left.Store(false)
		return
	}
	if !p.left.Load() {
		return
	}
	a.backgroundOnce(&p.resuming, "resume replay", func(ctx context.Context) error {
		ctx, cancel := a.clock.Timeout(ctx, replayLimit, nil)
		defer cancel()
		return a.replay.resume(ctx)
	})
}

func (h *replayHold) pause(ctx context.Context) error {
	ctx, cancel := h.clock.Timeout(ctx, replayLimit, nil) // others wait for the lock
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.forget != nil {
		h.forget()
	}
	h.pauses.held.Store(true)
	h.pauses.left.Store(true)
	h.forget = h.clock.After(replayLimit, func() {
		ctx, cancel := h.clock.Timeout(context.Background(), replayLimit, nil)
		defer cancel()
		_ = h.resume(ctx) // failing, it is tried again: see endLeftPause
	})
	return h.warm.with(ctx, func(ctx context.Context, s act.Session) error { return s.PauseReplay(ctx) })
}

func (h *replayHold) resume(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.forget != nil {
		h.forget()
		h.forget = nil
	}
	h.pauses.held.Store(false)
	err := h.warm.with(ctx, func(ctx context.Context, s act.Session) error { return s.ResumeReplay(ctx) })
	if err == nil {
		h.pauses.left.Store(false)
	}
	return err
}
