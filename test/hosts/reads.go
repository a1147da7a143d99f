package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	readPace    = 200 * time.Millisecond
	readTimeout = time.Second
)

// reads is a client that only reads, through whichever server is open. It needs no
// room, and nobody's answer but that server's.
type reads struct {
	stop  context.CancelFunc
	group sync.WaitGroup

	mu       sync.Mutex
	answered []time.Time
}

func startReads(ctx context.Context, uri string) (*reads, error) {
	config, err := pgconn.ParseConfig(uri)
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = readTimeout
	r := &reads{}
	ctx, r.stop = context.WithCancel(ctx)
	r.group.Go(func() {
		askAgainAndAgain(ctx, config, readPace, func(conn *pgconn.PgConn) bool { return r.read(ctx, conn) })
	})
	return r, nil
}

func (r *reads) read(ctx context.Context, conn *pgconn.PgConn) bool {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "select count(*) from registers").ReadAll(); err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = append(r.answered, time.Now())
	return true
}

// silence is the longest time without an answer from a moment to another.
func (r *reads) silence(from, to time.Time) (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := from
	for _, at := range append(r.answered[:len(r.answered):len(r.answered)], to) {
		if at.After(from) {
			longest = max(longest, at.Sub(last))
			last = at
		}
	}
	return longest
}

func (r *reads) end() {
	r.stop()
	r.group.Wait()
}

// expectReads: since the step began, whoever only reads was answered all the time.
func (p *play) expectReads(context.Context, []string) error {
	silence := p.reads.silence(p.since, time.Now())
	p.note("longest silence %.2f s", silence.Seconds())
	if silence >= noise {
		return fmt.Errorf("a reader was not answered for %s since the step began, want less than %s", seconds(silence), noise)
	}
	return nil
}
