package arbiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// local is the Keeper of a pair without an arbiter: the server that the record names
// primary holds it, as its own durable copy.
type local struct {
	own  *Copy
	me   pair.Server
	peer func() (record.Record, bool)
	mu   sync.Mutex // held across a change
}

// NewLocal makes the Keeper of kind "none". own is this server's own copy; peer gives the record that the other supervisor reports, and whether it is
// heard. The newest of both counts. Only the server it names primary may change it,
// so a standby never takes over by itself; an operator's force is a server's own
// wish to reign and is written on that server.
func NewLocal(own *Copy, me pair.Server, peer func() (record.Record, bool)) Keeper {
	return &local{own: own, me: me, peer: peer}
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

func (l *local) Read(context.Context) (record.Record, error) {
	r, err := l.holder()
	if err != nil {
		return record.Record{}, unknown("read record", err)
	}
	return r, nil
}

// holder is the record as the server that holds it says. When that is the other
// one and it is not heard, the newest record known comes with an error.
func (l *local) holder() (record.Record, error) {
	r, heard := l.newest()
	if r.Exists() && r.Primary != l.me && !heard {
		return r, fmt.Errorf("the primary %s holds the record and is not heard", r.Primary)
	}
	return r, nil
}

// newest compares the own copy with what the other server reports.
func (l *local) newest() (r record.Record, heard bool) {
	r = l.own.Get()
	theirs, heard := l.peer()
	if heard && theirs.NewerThan(r) {
		r = theirs
	}
	return r, heard
}

func (l *local) Change(_ context.Context, c record.Change) (record.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, _ := l.newest()
	if err := l.allowed(now, c); err != nil {
		return record.Record{}, err
	}
	next, err := now.Apply(c)
	if err != nil {
		return record.Record{}, classifyLegal(err)
	}
	err = l.own.Save(next)
	switch {
	case errors.Is(err, record.ErrConflict): // a newer one came in between
		return record.Record{}, err
	case err != nil:
		return record.Record{}, unknown(string(c.Transition), err)
	}
	return next, nil
}

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
