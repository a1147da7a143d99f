package agent

import (
	"context"
	"sync"

	"mcctl/pkg/postgres"
)

// warm is a session that answers to the other server's requests share: they come in
// the middle of an attach or a switch, where a connection's set-up would be waited
// for by clients.
type warm struct {
	postgres *postgres.Instance
	mu       sync.Mutex
	session  *postgres.Session
}

// with runs do on the session. One that was broken off, by a restart for example, is
// made anew.
func (w *warm) with(ctx context.Context, do func(context.Context, *postgres.Session) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		if err := do(ctx, w.session); err == nil || w.session.Alive() || ctx.Err() != nil {
			return err
		}
		w.session.Close()
		w.session = nil
	}
	session, err := w.postgres.Connect(ctx)
	if err != nil {
		return err
	}
	w.session = session
	return do(ctx, session)
}
