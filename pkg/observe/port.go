package observe

import (
	"context"
	"errors"
	"syscall"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/clock"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// Neighbour tries the other PostgreSQL's port while its supervisor is not heard:
// a supervisor alone may be missing, and then nothing shall be changed.
type Neighbour struct {
	Board   *board.Board
	Addr    string
	Every   time.Duration // between two tries, and the age at which the peer counts as late
	Timeout time.Duration // of one try
	// Clock and Answers are this machine's, and postgres.Answers, unless given.
	Clock   clock.Clock
	Answers func(ctx context.Context, addr string) error

	kick chan struct{}
}

// NewNeighbour fills in what needs no choice.
func NewNeighbour(n Neighbour) *Neighbour {
	n.kick = make(chan struct{}, 1)
	n.Clock = clock.Or(n.Clock)
	if n.Answers == nil {
		n.Answers = postgres.Answers
	}
	return &n
}

// Kick asks for a try now: the peer's connection has changed.
func (n *Neighbour) Kick() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// firstPause is the time between the first tries; later ones take their time. When
// supervisor and PostgreSQL die together, one is seen a moment before the other.
const firstPause = 5 * time.Millisecond

// TryPort tries whenever the peer is late or gone, and forgets the outcome when
// it is heard again.
func (n *Neighbour) TryPort(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		s := n.Board.Read()
		left := max(s.Heard, s.Started) + 2*n.Every - n.Clock.Now()
		gone := s.Link.Refused && !s.Link.Connected
		switch {
		case left <= 0 || gone:
			n.note(n.try(ctx))
			n.Clock.Wait(ctx, pause, nil)
			pause = min(2*pause, n.Every)
		case s.Port != board.PortUnknown:
			n.note(board.PortUnknown)
		default:
			pause = firstPause
			n.Clock.Wait(ctx, n.rest(left), n.kick)
		}
	}
	return ctx.Err()
}

// rest is how long to wait while the peer is not late: until the next tick, which costs
// no wake-up of its own, or until it is late if that may come before the tick after.
func (n *Neighbour) rest(left time.Duration) time.Duration {
	if tick := wire.TickAfter(n.Clock.Now(), n.Every); tick < left {
		return tick
	}
	return left
}

func (n *Neighbour) note(found board.Port) {
	if n.Board.Read().Port == found {
		return
	}
	n.Board.Note(func(s *board.Sight) { s.Port, s.PortSince = found, n.Clock.Now() })
}

func (n *Neighbour) try(ctx context.Context) board.Port {
	ctx, cancel := n.Clock.Timeout(ctx, n.Timeout, nil)
	defer cancel()
	err := n.Answers(ctx, n.Addr)
	switch {
	case err == nil:
		return board.PortAnswers
	case postgres.Scarce(err):
		return board.PortUnknown // this process has no descriptor left: nobody was asked
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return board.PortRefused
	}
	return board.PortSilent
}
