package probe

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// errWarned is an insert that was confirmed along with the warning that the wait for the
// standby was given up: the row is on one server only, and the client has been told so.
var errWarned = errors.New("confirmed with a warning")

// writer is one client connection with its pace. Its keys are run, id and a
// number that grows by one with every insert sent, never sent again.
type writer struct {
	id     int
	run    int64
	opts   Options
	config *pgconn.Config
	ledger *ledger
	seq    uint64
}

func (w *writer) write(ctx context.Context) {
	var s *session
	next := time.Now().Add(w.opts.Interval * time.Duration(w.id) / time.Duration(w.opts.Writers))
	for w.await(ctx, &next) {
		if s == nil {
			if s = w.connect(ctx); s == nil {
				next = time.Now().Add(w.opts.Retry)
				continue
			}
		}
		if !w.insert(s) {
			s.drop()
			s = nil
		}
	}
	if s != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.opts.ConnectTimeout+time.Second)
		defer cancel()
		_ = s.Close(ctx)
	}
}

// await sleeps until next and moves it on; false means that the run is over. Beats
// missed while the server was away are dropped: a flood would measure itself.
func (w *writer) await(ctx context.Context, next *time.Time) bool {
	if d := time.Until(*next); d > 0 && !pause(ctx, d) {
		return false
	}
	*next = next.Add(w.opts.Interval)
	if now := time.Now(); next.Before(now) {
		*next = now
	}
	return ctx.Err() == nil
}

func (w *writer) connect(ctx context.Context) *session {
	began := time.Now()
	s, err := connect(ctx, w.config)
	if err != nil {
		w.ledger.ready(w.id, began)
		if ctx.Err() == nil {
			w.ledger.failed("connect", err)
		}
		return nil
	}
	w.ledger.connected(s)
	return s
}

// insert sends the next key once. It has its own time limit and outlives the end
// of the run, so that no insert is left in doubt without need.
func (w *writer) insert(s *session) bool {
	w.seq++
	w.ledger.sent(w.id)
	ctx, cancel := context.WithTimeout(context.Background(), w.opts.OpTimeout)
	defer cancel()
	sent := time.Now()
	_, err := s.ExecParams(ctx, "insert into "+w.opts.quoted()+" (run, writer, seq) values ($1, $2, $3)",
		[][]byte{digits(w.run), digits(int64(w.id)), digits(int64(w.seq))}, nil, nil, nil).Close()
	if warning := s.takeWarning(); err == nil && warning != "" {
		w.ledger.failed("insert", errors.Join(errWarned, errors.New(warning)))
		return true
	}
	if err != nil {
		w.ledger.failed("insert", err)
		return false
	}
	w.ledger.acknowledged(w.id, w.seq, sent, s.reign)
	return true
}
