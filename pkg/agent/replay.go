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
	mu     sync.Mutex
	expiry *time.Timer
}

func (h *replayHold) pause(ctx context.Context, in *postgres.Instance) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expiry != nil {
		h.expiry.Stop()
	}
	h.expiry = time.AfterFunc(replayLimit, func() {
		ctx, cancel := context.WithTimeout(context.Background(), replayLimit)
		defer cancel()
		_ = h.resume(ctx, in) // failing, it is resumed when PostgreSQL starts next
	})
	return withSession(ctx, in, (*postgres.Session).PauseReplay)
}

func (h *replayHold) resume(ctx context.Context, in *postgres.Instance) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expiry != nil {
		h.expiry.Stop()
		h.expiry = nil
	}
	return withSession(ctx, in, (*postgres.Session).ResumeReplay)
}

func withSession(ctx context.Context, in *postgres.Instance, do func(*postgres.Session, context.Context) error) error {
	session, err := in.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	return do(session, ctx)
}
