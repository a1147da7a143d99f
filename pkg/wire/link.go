package wire

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// refusedPause is the time between two attempts while no process listens: a
	// refusal costs next to nothing, and its end is worth knowing at once.
	refusedPause = 50 * time.Millisecond
	// After the loss of a connection that worked, so many attempts are made so soon.
	eagerAttempts = 5
	eagerPause    = 5 * time.Millisecond
	// maxCalls is how many calls of one Link are under way; others wait their turn.
	maxCalls = maxConcurrent / 2
)

// LinkConfig says whom a Link keeps in touch with. The functions are called from the
// Link's goroutines, never two of Beat or two of Changed at once; they must not wait.
type LinkConfig struct {
	Addr string
	TLS  *tls.Config // a TLSPair's Client
	// Interval is the time between heartbeats. Timeout is how long the other side may
	// be silent before the connection is given up; it bounds dialling as well. At
	// least four intervals are sensible.
	Interval, Timeout time.Duration
	// Beat gives what to send now; a nil body is a bare heartbeat. While an answer to
	// one report is outstanding, only bare heartbeats are sent and Beat is not asked.
	Beat func() (kind string, body any)
	// Answer gets the answer to what Beat gave, if it was not an error.
	Answer func(kind string, body json.RawMessage)
	// Heard, if set, is told of every answer to a bare heartbeat: whether there is
	// news, that is, whether the last Answer is out of date. Beat is asked at once then.
	Heard func(news bool)
	// Changed tells that State says something new: connected, lost, refused, an error.
	Changed func()
}

// LinkState is how a Link stands.
type LinkState struct {
	// Connected: the present connection has answered.
	Connected bool
	// Refused: at the last attempt no process listened there.
	Refused bool
	// LastHeard is when a frame last arrived, in Now's time; 0 is never.
	LastHeard time.Duration
	// Error is why it is not connected, or what the other side answered to a report.
	Error string
}

// Link is a connection that comes back: it redials for ever and sends heartbeats.
type Link struct {
	cfg   LinkConfig
	kick  chan struct{}
	calls chan struct{}
	// tried is closed at the end of the first attempt.
	tried     chan struct{}
	firstTime sync.Once
	// eager is how many more attempts follow at once. Of a process that is being
	// killed the connection may end a moment before its listener does: the next
	// attempt is then reset, not refused. It belongs to Run.
	eager int

	mu    sync.Mutex
	state LinkState
	conn  *Conn
}

// NewLink makes a Link; Run brings it to life.
func NewLink(cfg LinkConfig) *Link {
	return &Link{cfg: cfg, kick: make(chan struct{}, 1), calls: make(chan struct{}, maxCalls), tried: make(chan struct{})}
}

// State tells how the Link stands right now.
func (l *Link) State() LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Kick has Beat asked at once instead of at the next interval.
func (l *Link) Kick() {
	select {
	case l.kick <- struct{}{}:
	default: // one is on its way already
	}
}

// Call asks as Conn.Call does, over the present connection. Without one it does not
// wait but is ErrNoAnswer at once. Only the first attempt is waited for: who asks a
// process that has just been started would be told that nobody is there.
func (l *Link) Call(ctx context.Context, kind string, request, answer any) error {
	select {
	case l.calls <- struct{}{}:
		defer func() { <-l.calls }()
	case <-ctx.Done():
		return fmt.Errorf("%s to %s: %w: %w", kind, l.cfg.Addr, ErrNoAnswer, context.Cause(ctx))
	}
	l.awaitFirst(ctx)
	l.mu.Lock()
	conn, reason := l.conn, l.state.Error
	l.mu.Unlock()
	if conn == nil {
		if reason == "" {
			reason = "not connected yet"
		}
		return fmt.Errorf("%s to %s: %w: %s", kind, l.cfg.Addr, ErrNoAnswer, reason)
	}
	if err := conn.Call(ctx, kind, request, answer); err != nil {
		return fmt.Errorf("ask %s: %w", l.cfg.Addr, err)
	}
	return nil
}

// awaitFirst waits for the end of the first attempt, which Run bounds by Timeout.
func (l *Link) awaitFirst(ctx context.Context) {
	bound := time.NewTimer(l.cfg.Timeout)
	defer bound.Stop()
	select {
	case <-l.tried:
	case <-bound.C:
	case <-ctx.Done():
	}
}

// Run keeps the connection until ctx ends, and then returns nil. It is called once.
func (l *Link) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := l.once(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// once dials and stays as long as the connection lives. It returns how long to wait
// before the next attempt.
func (l *Link) once(ctx context.Context) time.Duration {
	dialing, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	nc, err := dial(dialing, "tcp", l.cfg.Addr, l.cfg.TLS, l.cfg.Timeout)
	cancel()
	if err != nil {
		return l.failed(ctx, err)
	}
	c, since := newConn(nc, l.cfg.Timeout), Now()
	l.update(func(s *LinkState) { s.Refused = false; l.conn = c })
	err = l.stay(ctx, c)
	heard := false
	l.update(func(s *LinkState) {
		heard = s.Connected
		s.Connected, s.Error = false, plain(err)
		l.conn = nil
	})
	if heard && Now()-since > l.cfg.Interval {
		l.eager = eagerAttempts
		return 0 // it worked: find out at once whether somebody listens
	}
	// Turned away. Or two processes with one certificate displace each other.
	return l.cfg.Interval
}

func (l *Link) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	refused := isRefused(err)
	text := plain(err)
	if errors.Is(err, context.DeadlineExceeded) {
		text = fmt.Sprintf("no connection within %v", l.cfg.Timeout)
		if errors.Is(err, errHandshake) {
			text = fmt.Sprintf("something accepts connections there, but says nothing within %v: check the address", l.cfg.Timeout)
		}
	}
	l.update(func(s *LinkState) { s.Refused, s.Error = refused, text })
	if refused {
		l.eager = 0
		return refusedPause
	}
	if l.eager > 0 && !errors.Is(err, context.DeadlineExceeded) {
		l.eager--
		return eagerPause
	}
	return l.cfg.Interval
}

// update changes the state and tells, if it says something new.
func (l *Link) update(change func(*LinkState)) {
	l.mu.Lock()
	was := l.state
	change(&l.state)
	is := l.state
	l.mu.Unlock()
	l.firstTime.Do(func() { close(l.tried) })
	was.LastHeard, is.LastHeard = 0, 0
	if was != is && l.cfg.Changed != nil {
		l.cfg.Changed()
	}
}
