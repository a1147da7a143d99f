package agent

import (
	"context"
	"sync"
)

// warm is a session that answers to the other server's requests share: they come in
// the middle of an attach or a switch, where a connection's set-up would be waited
// for by clients.
type warm[S session] struct {
	connect func(context.Context) (S, error)
	mu      sync.Locker
	session S
	there   bool
}

type session interface {
	Alive() bool
	Close()
}

func newWarm[S session](mu sync.Locker, connect func(context.Context) (S, error)) *warm[S] {
	return &warm[S]{connect: connect, mu: mu}
}

// with runs do on the session. One that was broken off, by a restart for example, is
// made anew.
func (w *warm[S]) with(ctx context.Context, do func(context.Context, S) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there {
		if err := do(ctx, w.session); err == nil || w.session.Alive() || ctx.Err() != nil {
			return err
		}
		w.session.Close()
		w.there = false
	}
	session, err := w.connect(ctx)
	if err != nil {
		return err
	}
	w.session, w.there = session, true
	return do(ctx, session)
}

func (w *warm[S]) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there {
		w.session.Close()
		w.there = false
	}
}
