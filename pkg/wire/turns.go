package wire

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxHandshakes is how many run at once. When everybody comes back after a restart,
	// thousands together would make all of them too late and nobody would ever get in.
	maxHandshakes = 64
	// maxFromOne is how many of them may be of one address, so that no stranger can have
	// all. Pairs behind one address share them.
	maxFromOne = 8
	// queueTimeout is how long a connection waits for its turn. Later, its owner is
	// about to give up: better not to spend work on it, it will try again.
	queueTimeout = 300 * time.Millisecond
)

var errCrowd = errors.New("too many connections at once")

// turns are the handshakes under way.
type turns struct {
	all chan struct{}

	mu sync.Mutex
	of map[netip.Prefix]*share // of those who have a turn or wait for it
}

// share is what one address has of the turns.
type share struct {
	turns chan struct{}
	users int // guarded by turns.mu
}

func newTurns() *turns {
	return &turns{all: make(chan struct{}, maxHandshakes), of: map[netip.Prefix]*share{}}
}

// take waits for a turn. Without an error, done must be called at its end.
func (t *turns) take(ctx context.Context, from netip.Prefix) (done func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, queueTimeout, errCrowd)
	defer cancel()
	own := t.join(from)
	// The own share first: who waits for it keeps no turn from the others.
	if err := enter(ctx, own.turns); err != nil {
		t.leave(from)
		return nil, err
	}
	if err := enter(ctx, t.all); err != nil {
		<-own.turns
		t.leave(from)
		return nil, err
	}
	return func() {
		<-t.all
		<-own.turns
		t.leave(from)
	}, nil
}

func enter(ctx context.Context, room chan struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *turns) join(from netip.Prefix) *share {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[from]
	if own == nil {
		own = &share{turns: make(chan struct{}, maxFromOne)}
		t.of[from] = own
	}
	own.users++
	return own
}

func (t *turns) leave(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[from]
	if own.users--; own.users == 0 {
		delete(t.of, from)
	}
}

// originOf is what counts as one address: one of IPv4, or a network of IPv6, where a host
// has as many as it likes.
func originOf(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr, bits := tcp.AddrPort().Addr().Unmap().WithZone(""), 64
	if addr.Is4() {
		bits = 32
	}
	network, _ := addr.Prefix(bits) // it has that many
	return network
}
