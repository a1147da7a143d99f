package witness

import (
	"fmt"
	"time"

	"mcctl/pkg/wire"
)

// seat is what the witness knows of one server of a pair. Guarded by keep.mu.
type seat struct {
	name string
	// open: a connection carries its heartbeats. heard is when it last did (by the clock).
	open  bool
	heard time.Duration
	// reported: report is of the present connection.
	reported bool
	report   wire.WitnessReport
	told     wire.WitnessView // the last answer to a report
	refused  bool             // there was no answer to the last one
}

// maxSeats is how many servers a pair has.
const maxSeats = 2

// seat finds from's place. A third name gets one only when a server has gone: a pair
// with a renamed server must not need a restart of the witness. Called with mu held.
func (k *keep) seat(name string) (*seat, error) {
	if s := k.seated(name); s != nil {
		return s, nil
	}
	if len(k.seats) < maxSeats {
		k.seats = append(k.seats, &seat{name: name})
		return k.seats[len(k.seats)-1], nil
	}
	for i, s := range k.seats {
		if !s.open && s.name != string(k.record.Primary) {
			k.seats[i] = &seat{name: name}
			return k.seats[i], nil
		}
	}
	return nil, fmt.Errorf("%w: pair %s has the servers %s and %s already; is the certificate of %s made for another pair?",
		wire.ErrRefused, k.pair, k.seats[0].name, k.seats[1].name, name)
}

// seated is the seat of that name or nil. Called with mu held.
func (k *keep) seated(name string) *seat {
	for _, s := range k.seats {
		if s.name == name {
			return s
		}
	}
	return nil
}

// other is the seat beside name's, or nil. Called with mu held.
func (k *keep) other(name string) *seat {
	for _, s := range k.seats {
		if s.name != name {
			return s
		}
	}
	return nil
}

// online reports whether s is connected and was heard within the timeout; s may be nil.
func (s *seat) online(now, timeout time.Duration) bool {
	return s != nil && s.open && now-s.heard <= s.timeout(timeout)
}

// timeout is its pair's heartbeat timeout, or the witness's own where it has not told
// one; s may be nil.
func (s *seat) timeout(own time.Duration) time.Duration {
	if s != nil && s.reported && s.report.TimeoutMS > 0 {
		return time.Duration(s.report.TimeoutMS) * time.Millisecond
	}
	return own
}

// down reports whether s said in this connection that its PostgreSQL is down.
func (s *seat) down() bool {
	return s != nil && s.reported && s.report.Postgres == wire.WitnessDown
}

// Beat notes a bare heartbeat, and reports whether from was told something else than
// it would be now. It costs no memory: there are many.
func (w *Witness) Beat(from wire.Identity, at time.Duration) (news bool) {
	k := w.find(from.Pair)
	if k == nil {
		return true // it shall report first
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.seated(from.Name)
	if s == nil {
		return true
	}
	s.heard, s.open = max(s.heard, at), true
	return w.news(k, s)
}

// Gone notes that the connection which carried from's heartbeats ended.
func (w *Witness) Gone(from wire.Identity) {
	k := w.find(from.Pair)
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.seated(from.Name); s != nil {
		s.open, s.reported = false, false
	}
}

// news reports whether s, just heard, should report to be told something. Called with
// mu held.
func (w *Witness) news(k *keep, s *seat) bool {
	if !s.reported {
		return true
	}
	if (!k.record.Exists() || k.record.Moved != "") && k.other(s.name).online(s.heard, w.cfg.HeartbeatTimeout) {
		return true // the report that comes of it tries again to find the record
	}
	if k.doubt != nil || s.refused {
		return true // or to write it
	}
	return s.told != w.view(k, s.name, s.heard)
}

// view is what name should know. Called with mu held.
func (w *Witness) view(k *keep, name string, now time.Duration) wire.WitnessView {
	o := k.other(name)
	return wire.WitnessView{
		Record:            k.record,
		OtherHeard:        o.online(now, w.cfg.HeartbeatTimeout),
		OtherPostgresDown: o.down(),
		Trouble:           w.tries.trouble(w.cfg.Clock.Now()),
	}
}

// report notes what a server says of itself. A pair without a record gets one as
// soon as both servers have told what they know.
func (w *Witness) report(k *keep, from wire.Identity, r wire.WitnessReport) (any, error) {
	if err := soundReport(r); err != nil {
		return nil, err
	}
	if r.Known.Exists() && r.Known.Pair != from.Pair {
		return nil, fmt.Errorf("%w: %s reports a record of pair %q; look at its record.json", wire.ErrRefused, from, r.Known.Pair)
	}
	if err := k.note(from.Name, r, w.cfg.Clock.Now()); err != nil {
		return nil, err
	}
	if rec, err := k.now(); err != nil {
		return nil, err
	} else if !rec.Exists() || rec.Moved != "" || k.inDoubt() {
		w.seed(k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.seat(from.Name)
	if err != nil {
		return nil, err
	}
	if s.refused = k.doubt != nil; s.refused {
		return nil, fmt.Errorf("the record of pair %s is not on the witness's disk as it should be: %w", k.pair, k.doubt)
	}
	s.told = w.view(k, from.Name, w.cfg.Clock.Now())
	return s.told, nil
}

func (k *keep) note(name string, r wire.WitnessReport, now time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.seat(name)
	if err != nil {
		return err
	}
	if was := s.report.Postgres; !s.reported || was != r.Postgres {
		k.log.Info("server reports", "pair", k.pair, "server", name, "postgres", r.Postgres, "known", r.Known.String())
	}
	s.open, s.heard, s.reported, s.report = true, now, true, r
	k.outlive(name, r.Known)
	return nil
}
