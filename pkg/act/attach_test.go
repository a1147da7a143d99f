package act

import (
	"context"
	"errors"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

func sightOf(r record.Record) board.Sight { return board.Sight{Record: r, Copy: r} }

// attaching is an open primary that is alone, with settings for a standby or not.
func attaching(t *testing.T, names bool) (*Hands, *otherSide) {
	t.Helper()
	h, other := newHands(t, copyOf(3, 8, pair.Alone))
	ok(t, h.writeSettings(within(t), h.primarySettings(names)))
	started(t, h)
	return h, other
}

// resumedAsOften checks that whoever was asked to pause replay was asked to resume it.
func (o *otherSide) resumedAsOften(t *testing.T, least int) {
	t.Helper()
	paused, resumed := o.times(wire.KindPauseReplay), o.times(wire.KindResumeReplay)
	if paused != resumed || paused < least {
		t.Errorf("replay was paused %d times, resumed %d times", paused, resumed)
	}
}

// provable makes the other side release the canary, as no standby is here to do it.
func provable(h *Hands, other *otherSide) {
	other.answer = func(ctx context.Context, kind string, _ any) (any, error) {
		if kind == wire.KindResumeReplay {
			return nil, h.writeSettings(ctx, h.primarySettings(false))
		}
		return nil, nil
	}
}

func TestTheNamesAreProvenByACommitThatWaits(t *testing.T) {
	h, other := attaching(t, true)
	provable(h, other)
	ok(t, h.proveNames(within(t)))
	other.resumedAsOften(t, 1)
}

// T2, steps 4 and 5: the names are in force, but nobody has flushed anything.
func TestNothingIsPledgedBeforeTheStandbyHoldsIt(t *testing.T) {
	h, other := attaching(t, false)
	provable(h, other)
	ctx, cancel := context.WithTimeout(within(t), 500*time.Millisecond)
	defer cancel()
	if err := h.bind(ctx); err == nil {
		t.Error("attached")
	}
	if got := h.Copy.Get(); got != copyOf(3, 8, pair.Alone) || other.kicked > 0 {
		t.Errorf("the copy is %s", got)
	}
}

// Whoever moves the arbiter goes by a record that stays alone.
func TestNothingIsPledgedWhileTheArbiterIsMoved(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	h.Board.Set(func(s *board.Sight) { s.Moving = true })
	if _, err := h.pledge(); err == nil || h.Copy.Get() != copyOf(3, 8, pair.Alone) {
		t.Errorf("%v, and the copy is %s", err, h.Copy.Get())
	}
}

func TestNamesThatAreNotInForceAreNotProven(t *testing.T) {
	h, other := attaching(t, false)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	other.answer = func(ctx context.Context, kind string, _ any) (any, error) {
		if kind == wire.KindResumeReplay && other.times(kind) == 3 {
			cancel()
		}
		return nil, nil
	}
	if err := h.proveNames(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("proven: %v", err)
	}
	other.resumedAsOften(t, 3)
}

func TestAnAttachWithoutTheStandbysHelpPromisesNothing(t *testing.T) {
	h, other := attaching(t, false)
	other.answer = refuseAll
	fails(t, h.bind(within(t)), "pause replay on server2", errPlanned.Error())
	if got := h.Copy.Get(); got != copyOf(3, 8, pair.Alone) || other.kicked > 0 {
		t.Errorf("the copy is %s", got)
	}
	if !waitsForStandby(t, h) {
		t.Error("the names come before the proof")
	}
	ok(t, h.PutRight(within(t)))
	if waitsForStandby(t, h) {
		t.Error("what the attach left behind was not put right")
	}
}

// lookedAt is a PostgreSQL that tells when it was looked at.
type lookedAt struct {
	Postgres
	tell func()
}

func (p lookedAt) Connect(ctx context.Context) (Session, error) {
	s, err := p.Postgres.Connect(ctx)
	return telling{s, p.tell}, err
}

type telling struct {
	Session
	tell func()
}

func (s telling) Look(ctx context.Context, peer string) (postgres.Look, error) {
	defer s.tell()
	return s.Session.Look(ctx, peer)
}

func TestAnAttachToAStandbyThatTakesNothingMakesNobodyWait(t *testing.T) {
	h, other := attaching(t, false)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	h.Postgres = lookedAt{h.Postgres, cancel}
	err := h.Attach(ctx)
	fails(t, err, "wait until server2 has flushed")
	if !errors.Is(err, context.Canceled) || waitsForStandby(t, h) || len(other.asked) > 0 {
		t.Errorf("%v; names there: %t; asked %q", err, waitsForStandby(t, h), other.asked)
	}
}

func TestAStandbyThatDoesNotStreamHoldsNothing(t *testing.T) {
	h, _ := attaching(t, false)
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	if err := h.standbyHolds(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited with %v", err)
	}
}

func TestAnAttachThatFailsLetsCommitsGo(t *testing.T) {
	h, other := attaching(t, false)
	other.answer = refuseAll
	fails(t, h.bindOrRelease(within(t)), "pause replay on server2")
	if waitsForStandby(t, h) {
		t.Error("commits still wait for the standby")
	}
}

// caughtUp is a PostgreSQL whose standby has flushed everything and applies nothing: its
// canary is seen to wait, and does not return.
type caughtUp struct {
	Postgres
	givenUp chan struct{}
}

func (p caughtUp) Connect(ctx context.Context) (Session, error) {
	s, err := p.Postgres.Connect(ctx)
	return flushed{s}, err
}

func (p caughtUp) StartCanary(context.Context) (Canary, error) { return p, nil }
func (caughtUp) InForce() bool                                 { return true }
func (p caughtUp) Finish(ctx context.Context) error {
	<-ctx.Done()
	close(p.givenUp)
	return ctx.Err()
}

type flushed struct{ Session }

func (s flushed) Look(ctx context.Context, peer string) (postgres.Look, error) {
	seen, err := s.Session.Look(ctx, peer)
	seen.Peer = &postgres.Sender{State: "streaming", Flush: seen.Flush}
	return seen, err
}

func TestAnAttachDoesNotWaitForReplay(t *testing.T) {
	h, other := attaching(t, false)
	lagging := caughtUp{h.Postgres, make(chan struct{})}
	h.Postgres = lagging
	ok(t, h.Attach(within(t)))
	if got := h.Copy.Get(); got.Mode != pair.Paired {
		t.Errorf("the copy is %s", got)
	}
	other.resumedAsOften(t, 1)
	<-lagging.givenUp // else it would count as a commit that waits
}

// An operator forces the other server while this one attaches it.
func TestNothingIsPledgedForAnotherReign(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	forced := h.Board.Read().Record
	forced.Term, forced.Revision, forced.Primary = forced.Term+1, forced.Revision+1, "server2"
	h.Board.Note(func(s *board.Sight) { s.Learn(forced, true) })
	if p, err := h.pledge(); err == nil {
		t.Errorf("pledged %s", p)
	}
	if r := h.Copy.Get(); r.Mode == pair.Paired {
		t.Errorf("the copy is %s", r)
	}
}
