package arbiter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// local is the Keeper of a pair without an arbiter: the server that the record names
// primary holds it, as its own durable copy.
type local struct {
	path string
	me   pair.Server
	peer func() (record.Record, bool)
	mu   sync.Mutex // held across a change
}

// NewLocal makes the Keeper of kind "none". path is the file of this server's own
// copy; peer gives the record that the other supervisor reports, and whether it is
// heard. The newest of both counts. Only the server it names primary may change it,
// so a standby never takes over by itself; an operator's force is a server's own
// wish to reign and is written on that server.
func NewLocal(path string, me pair.Server, peer func() (record.Record, bool)) Keeper {
	return &local{path: path, me: me, peer: peer}
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
	r, heard, err := l.newest()
	if err == nil && r.Exists() && r.Primary != l.me && !heard {
		err = fmt.Errorf("the primary %s holds the record and is not heard", r.Primary)
	}
	return r, err
}

// newest compares the own copy with what the other server reports.
func (l *local) newest() (r record.Record, heard bool, err error) {
	err = durable.ReadJSON(l.path, &r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return record.Record{}, false, fmt.Errorf("the own copy of the record cannot be read: %w", err)
	}
	theirs, heard := l.peer()
	if heard && theirs.NewerThan(r) {
		r = theirs
	}
	return r, heard, nil
}

func (l *local) Change(_ context.Context, c record.Change) (record.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, _, err := l.newest()
	if err != nil {
		return record.Record{}, unknown(string(c.Transition), err)
	}
	if err := l.allowed(now, c); err != nil {
		return record.Record{}, err
	}
	next, err := now.Apply(c)
	if errors.Is(err, record.ErrConflict) {
		return record.Record{}, err
	}
	if err != nil {
		return record.Record{}, &Refused{Reason: err.Error()}
	}
	if err := durable.WriteJSON(l.path, next, 0o600); err != nil {
		return record.Record{}, unknown(string(c.Transition), err)
	}
	return next, nil
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
