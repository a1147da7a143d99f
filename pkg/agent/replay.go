package agent

import (
	"context"
	"sync"
	"time"

	"mcctl/pkg/act"
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
}

func (h *replayHold) pause(ctx context.Context) error {
	ctx, cancel := h.clock.Timeout(ctx, replayLimit, nil) // others wait for the lock
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.forget != nil {
		h.forget()
	}
	h.forget = h.clock.After(replayLimit, func() {
		ctx, cancel := h.clock.Timeout(context.Background(), replayLimit, nil)
		defer cancel()
		_ = h.resume(ctx) // failing, it is resumed when PostgreSQL starts next
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
	return h.warm.with(ctx, func(ctx context.Context, s act.Session) error { return s.ResumeReplay(ctx) })
}
