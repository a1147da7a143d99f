package arbiter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// remote is a Keeper that asks a witness process.
type remote struct {
	link   Link
	clock  clock.Clock
	report func() wire.WitnessReport
	tell   func()

	mu sync.Mutex
	// told: the report of this connection that was answered. Without one the
	// witness knows nothing of us yet, and we nothing of it.
	told  *wire.WitnessReport
	sent  wire.WitnessReport
	stale bool // the witness has news: ask, and do not count its heartbeats
	view  wire.WitnessView
	asOf  time.Duration // by the clock, when view was last confirmed; 0 is never
	// known is the newest record that a witness ever told us. It is part of what we
	// report, although our caller may not have taken it over yet.
	known record.Record
	// ended counts the connections that have ended.
	ended int
}

// Link is the connection to the witness, as wire.Link makes it.
type Link interface {
	Run(ctx context.Context) error
	Kick()
	State() wire.LinkState
	Call(ctx context.Context, kind string, request, answer any) error
}

// NewWitness makes a Keeper that holds a connection to a witness; Addr, TLS, Interval
// and Timeout of link say how. report gives what to tell it and is compared with what
// it was told: only differences travel. changed is called when Seen, OtherHeard,
// OtherPostgresDown or Problem say something new. Neither may wait; report must not
// call the Keeper.
func NewWitness(dial func(wire.LinkConfig) Link, by clock.Clock, link wire.LinkConfig, report func() wire.WitnessReport, changed func()) Keeper {
	w := &remote{report: report, tell: changed, clock: by}
	link.Beat, link.Answer, link.Heard, link.Changed = w.beat, w.answer, w.heard, w.changed
	w.link = dial(link)
	return w
}

func (w *remote) Kind() string                  { return KindWitness }
func (w *remote) Run(ctx context.Context) error { return w.link.Run(ctx) }
func (w *remote) Kick()                         { w.link.Kick() }

func (w *remote) Problem() string {
	w.mu.Lock()
	here, v := w.told != nil, w.view
	w.mu.Unlock()
	if here && v.Record.Moved != "" {
		return moved(v.Record).Error()
	}
	if err := w.link.State().Error; err != "" || !here {
		return err
	}
	return v.Trouble
}

// Seen: a witness that is connected and refuses the report, as when the record is not on
// its disk, is not reached.
func (w *remote) Seen() (record.Record, time.Duration, bool) {
	refused := w.link.State().Error != ""
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Record, w.clock.Now() - w.asOf, w.told != nil && !refused && w.view.Record.Moved == ""
}

func (w *remote) OtherHeard() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told != nil && w.view.OtherHeard
}

func (w *remote) OtherPostgresDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told != nil && w.view.OtherPostgresDown
}

func (w *remote) Read(ctx context.Context) (record.Record, error) {
	var r record.Record
	before := w.connection()
	if err := w.link.Call(ctx, wire.KindRead, nil, &r); err != nil {
		return record.Record{}, unknown("read record", err)
	}
	if err := cmp.Or(w.learn(r, before), moved(r)); err != nil {
		return record.Record{}, unknown("read record", err)
	}
	return r, nil
}

func (w *remote) Change(ctx context.Context, c record.Change) (record.Record, error) {
	var r record.Record
	before := w.connection()
	if err := w.link.Call(ctx, wire.KindChange, wire.ChangeRequest{Change: c}, &r); err != nil {
		return record.Record{}, classify(string(c.Transition), err)
	}
	if err := w.learn(r, before); err != nil {
		return record.Record{}, unknown(string(c.Transition), err)
	}
	return r, nil
}

// connection is which connection a question may go over: the present one or a later.
func (w *remote) connection() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// errLate: the witness that answered may have lost its records since, and found them
// again from a report that did not know this answer yet.
var errLate = errors.New("the answer came over a connection that has ended since")

// learn takes over a record that the witness answered, unless a later one has
// overtaken it on the way. What came over an earlier connection is errLate.
func (w *remote) learn(r record.Record, connection int) error {
	w.mu.Lock()
	if connection != w.ended {
		w.mu.Unlock()
		return errLate
	}
	newer := r.NewerThan(w.view.Record)
	if newer {
		w.view.Record = r
	}
	w.know(r)
	w.mu.Unlock()
	if newer {
		w.tell()
	}
	return nil
}

// know keeps the newest record. A closed one is nothing to act upon, here or
// elsewhere. Called with mu held.
func (w *remote) know(r record.Record) {
	if r.Moved == "" && r.NewerThan(w.known) {
		w.known = r
	}
}

// beat gives the report if the witness does not have it.
func (w *remote) beat() (string, any) {
	now := w.report()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known.NewerThan(now.Known) {
		now.Known = w.known
	}
	if w.told != nil && *w.told == now && !w.stale {
		return "", nil
	}
	w.sent, w.stale = now, false
	return wire.KindReport, now
}

// answer takes the witness's view of us. The first one of a connection counts
// whatever it says: the witness may have been replaced. Later ones may have been
// overtaken by the answer to a change.
func (w *remote) answer(_ string, body json.RawMessage) {
	var v wire.WitnessView
	if json.Unmarshal(body, &v) != nil {
		return // not a witness: it stays unreachable
	}
	w.mu.Lock()
	was, first := w.view, w.told == nil
	if !first && was.Record.NewerThan(v.Record) {
		v.Record = was.Record
	}
	told := w.sent
	w.told, w.view, w.asOf = &told, v, w.clock.Now()
	w.know(v.Record)
	w.mu.Unlock()
	if first || was != v {
		w.tell()
	}
}

// heard: a heartbeat from the witness confirms its last view, or tells of a new one.
func (w *remote) heard(news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case news:
		w.stale = true
	case w.told != nil && !w.stale:
		w.asOf = w.clock.Now()
	}
}

// changed: the connection came or went. What was told to a lost one is forgotten.
func (w *remote) changed() {
	if !w.link.State().Connected {
		w.mu.Lock()
		w.told = nil
		w.ended++
		w.mu.Unlock()
	}
	w.tell()
}
