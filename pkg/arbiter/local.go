package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// local is the Keeper of a pair without an arbiter: the server that the record names
// primary holds it, as its own durable copy.
type local struct {
	own    *Copy
	me     pair.Server
	peer   func() (record.Record, bool)
	beside Beside
	turn   chan struct{} // holds a token but during a change, until its disk has answered
}

// Beside is how a step runs beside its caller, who waits for its end or for that of
// ctx, and by what clock.
type Beside struct {
	Clock clock.Clock
	Run   func(step func() error) (outcome func(ctx context.Context) error)
}

// Machine runs a step in a goroutine, which ends with the step.
var Machine = Beside{clock.Machine, func(step func() error) func(context.Context) error {
	done := make(chan error, 1)
	go func() { done <- step() }()
	return func(ctx context.Context) error {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}}

// NewLocal makes the Keeper of kind "none". own is this server's own copy; peer gives
// the record that the other supervisor reports, and whether it is heard. The newest of
// both counts. Only the server it names primary may change it, so a standby never takes
// over by itself; an operator's force is a server's own wish to reign and is written on
// that server. A server that has lost its record goes alone by what the other one knows of
// it.
func NewLocal(b Beside, own *Copy, me pair.Server, peer func() (record.Record, bool)) Keeper {
	return newLocal(b, own, me, peer)
}

func newLocal(b Beside, own *Copy, me pair.Server, peer func() (record.Record, bool)) *local {
	l := &local{own: own, me: me, peer: peer, beside: b, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

func (l *local) Kind() string            { return KindNone }
func (l *local) OtherHeard() bool        { return false }
func (l *local) OtherPostgresDown() bool { return false }
func (l *local) Kick()                   {}

func (l *local) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (l *local) Seen() (record.Record, time.Duration, bool) {
	r, err := l.holder()
	return r, 0, err == nil
}

func (l *local) Problem() string {
	if _, err := l.holder(); err != nil {
		return err.Error()
	}
	return ""
}

// Read does not wait for a change that is being saved, be it one that nobody waits for any
// more: that is no answer. Who asks because the answer to it was lost must not take the
// record of before for its outcome.
func (l *local) Read(context.Context) (record.Record, error) {
	if len(l.turn) == 0 {
		return record.Record{}, unknown("read record", errChanging)
	}
	r, err := l.holder()
	if err != nil {
		return record.Record{}, unknown("read record", err)
	}
	return r, nil
}

// holder is the record as the server that holds it says. When that is the other
// one and it is not heard, the newest record known comes with an error.
func (l *local) holder() (record.Record, error) {
	r, heard, _ := l.newest()
	if r.Exists() && r.Primary != l.me && !heard {
		return r, fmt.Errorf("the primary %s holds the record and is not heard", r.Primary)
	}
	return r, nil
}

// newest compares the own copy with what the other server reports.
func (l *local) newest() (r record.Record, heard, forgot bool) {
	r = l.own.Get()
	theirs, heard := l.peer()
	switch {
	case !heard || !theirs.NewerThan(r):
	case l.forgot(theirs):
		return found(theirs), true, true
	default:
		r = theirs
	}
	return r, heard, false
}

// forgot tells by what the other server knows whether this one has lost its own record.
// It alone makes itself paired, and has saved that before anybody hears of it.
func (l *local) forgot(theirs record.Record) bool {
	return theirs.Primary == l.me && theirs.Mode == pair.Paired && theirs.NewerThan(l.own.Get())
}

// found is what is left of a lost record. What came after theirs is lost too: this
// server may have gone alone, and acknowledged what the other one lacks.
func found(theirs record.Record) record.Record {
	r, _ := record.FromKnown(map[pair.Server]record.Record{"": theirs}) // fails only where nobody knows one
	return r
}

func (l *local) Change(ctx context.Context, c record.Change) (record.Record, error) {
	if err := l.takeTurn(ctx, c.Transition); err != nil {
		return record.Record{}, err
	}
	next, err := l.judge(c)
	if err != nil {
		l.turn <- struct{}{}
		return record.Record{}, err
	}
	return l.write(ctx, c.Transition, next, func(error) {})
}

// judge says what the change would lead to.
func (l *local) judge(c record.Change) (record.Record, error) {
	now, _, _ := l.newest()
	if err := l.allowed(now, c); err != nil {
		return record.Record{}, err
	}
	next, err := now.Apply(c)
	if err != nil {
		return record.Record{}, classifyLegal(err)
	}
	return next, nil
}

// takeTurn waits until no other change is under way.
func (l *local) takeTurn(ctx context.Context, t record.Transition) error {
	if l.beside.Clock.Wait(ctx, -1, l.turn) {
		return nil
	}
	return unknown(string(t), fmt.Errorf("%w, and an earlier change waits for it", unwritten(ctx)))
}

// write saves the outcome of a change and gives the turn back. The disk may hang: then
// there is no answer when ctx ends, and the change comes into force when the disk does
// answer. ended is told how it went, then as well.
func (l *local) write(ctx context.Context, t record.Transition, next record.Record, ended func(error)) (record.Record, error) {
	saved := l.beside.Run(func() error {
		err := l.own.Save(next)
		ended(err)
		l.turn <- struct{}{}
		return err
	})
	err := saved(ctx)
	left := err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	if left && l.own.Get() == next { // it is on the disk, and our caller goes by that already
		err, left = saved(context.WithoutCancel(ctx)), false
	}
	switch {
	case err == nil:
		return next, nil
	case errors.Is(err, record.ErrConflict): // a newer one came in between
		return record.Record{}, err
	case left:
		err = unwritten(ctx)
	}
	return record.Record{}, unknown(string(t), err)
}

// unwritten is why nobody waits for the disk any more: its time is over, or who waited
// has given up.
func unwritten(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("write the record: left off before the disk answered: %w", cause)
	}
	return errDiskSilent
}

var errChanging = errors.New("a change of it is being saved")

var errDiskSilent = errors.New("write the record: the disk of the management directory does not answer")

// classifyLegal makes what Record.Apply refused a conflict or a clear no.
func classifyLegal(err error) error {
	if errors.Is(err, record.ErrConflict) {
		return err
	}
	return &Refused{Reason: err.Error()}
}

// allowed says who may change the record when nobody else is asked.
func (l *local) allowed(now record.Record, c record.Change) error {
	reason := ""
	switch {
	case !now.Exists():
		reason = "there is no record yet; initialise the pair first"
	case c.By != l.me:
		reason = fmt.Sprintf("a change by %s cannot be written on %s", c.By, l.me)
	case c.Transition == record.Failover:
		reason = fmt.Sprintf("without an arbiter no standby takes over by itself; if %s is gone for good, force the switch", now.Primary)
	case c.Transition == record.Force && c.To != l.me:
		reason = fmt.Sprintf("without an arbiter a switch to %s is forced on %s", c.To, c.To)
	case c.Transition != record.Force && now.Primary != l.me:
		reason = fmt.Sprintf("without an arbiter only the primary %s changes the record", now.Primary)
	default:
		return nil
	}
	return &Refused{Reason: reason}
}
