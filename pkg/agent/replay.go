package agent

import (
	"context"
	"sync"
	"time"

	"mcctl/pkg/postgres"
)

// replayLimit ends a pause of replay whose primary does not come back for it.
const replayLimit = 3 * time.Second

// replayHold pauses replay for the attach proof and never for long.
type replayHold struct {
	warm   *warm
	mu     sync.Mutex
	expiry *time.Timer
}

func (h *replayHold) pause(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expiry != nil {
		h.expiry.Stop()
	}
	h.expiry = time.AfterFunc(replayLimit, func() {
		ctx, cancel := context.WithTimeout(context.Background(), replayLimit)
		defer cancel()
		_ = h.resume(ctx) // failing, it is resumed when PostgreSQL starts next
	})
	return h.warm.with(ctx, func(ctx context.Context, s *postgres.Session) error { return s.PauseReplay(ctx) })
}

func (h *replayHold) resume(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
	}
	return h.warm.with(ctx, func(ctx context.Context, s *postgres.Session) error { return s.ResumeReplay(ctx) })
}
