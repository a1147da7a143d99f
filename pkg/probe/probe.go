// Package probe is the client's view of a pair: paced writers go through the
// usual multi-host connection string, send every key exactly once, note what was
// acknowledged and when, and at the end read everything back from the primary.
// From that it tells the gaps, the latencies and, strictly, the lost rows. It
// knows nothing of supervisors, records or arbiters and never changes a server
// beyond its own table. The command line and the benchmarks call it.
package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Mark names a moment of the run, such as the start of a switch.
type Mark struct {
	Name string
	At   time.Time // zero means now
}

// Probe is a run in progress.
type Probe struct {
	opts    Options
	run     int64
	config  *pgconn.Config
	ledger  *ledger
	writers []*writer
	halt    context.CancelFunc
	group   sync.WaitGroup
	stop    func() (*Result, error)
}

// Run probes for Options.Duration, or until ctx ends if that is shorter or zero,
// and returns what Stop returns. The end of ctx is not an error: it is how an
// operator finishes an open-ended run, and the rows are read back all the same.
func Run(ctx context.Context, opts Options) (*Result, error) {
	p, err := Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	pause(ctx, p.opts.Duration)
	return p.Stop()
}

// Start creates the table where it is missing and starts the writers, which write
// until Stop is called or ctx ends. Every started Probe needs its Stop.
func Start(ctx context.Context, opts Options) (*Probe, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Probe{opts: opts, run: rand.Int64()}
	if p.config, err = opts.config(); err != nil {
		return nil, err
	}
	if err := p.createTable(ctx); err != nil {
		return nil, err
	}
	p.ledger = newLedger(time.Now(), opts)
	writing, halt := context.WithCancel(ctx)
	p.halt = halt
	context.AfterFunc(writing, p.ledger.close) // silence after the end is nobody's outage
	for i := range opts.Writers {
		w := &writer{id: i, run: p.run, opts: opts, config: p.config, ledger: p.ledger}
		p.writers = append(p.writers, w)
		p.group.Go(func() { w.write(writing) })
	}
	p.group.Go(func() { p.listen(writing) })
	p.stop = sync.OnceValues(func() (*Result, error) { return p.finish(context.WithoutCancel(ctx)) })
	return p, nil
}

// listen passes the caller's channel of marks on.
func (p *Probe) listen(ctx context.Context) {
	for {
		select {
		case m, open := <-p.opts.Marks:
			if !open {
				return
			}
			p.ledger.mark(m)
		case <-ctx.Done():
			return
		}
	}
}

// Mark notes that something happens now; the result tells the gap around it.
func (p *Probe) Mark(name string) { p.ledger.mark(Mark{Name: name}) }

// WaitCalm returns once writes have flowed without a break for calm, counted from
// the last mark at the earliest. A break is a silence of 200 ms, or of three
// intervals where that is longer.
func (p *Probe) WaitCalm(ctx context.Context, calm time.Duration) error {
	return p.waitCalm(ctx, calm, 0)
}

// WaitCalmFromNow counts from the call at the earliest: a break that the caller has
// caused since the last mark shows only when it has lasted.
func (p *Probe) WaitCalmFromNow(ctx context.Context, calm time.Duration) error {
	return p.waitCalm(ctx, calm, time.Since(p.ledger.began))
}

func (p *Probe) waitCalm(ctx context.Context, calm, since time.Duration) error {
	for !p.ledger.calm(calm, since) {
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("wait for %s of unbroken writes: %w; see whether any server of the connection string takes writes", calm, ctx.Err())
		}
	}
	return nil
}

// Stop ends the writers, reads back what they wrote and returns the verdict. If
// reading back fails, the result lacks its Check and the error is not nil: rows
// that were not looked for are never reported as kept. Further calls return the
// same.
func (p *Probe) Stop() (*Result, error) { return p.stop() }

func (p *Probe) finish(ctx context.Context) (*Result, error) {
	p.ledger.close()
	p.halt()
	p.group.Wait()
	r := p.result()
	ctx, cancel := context.WithTimeout(ctx, p.opts.CheckTimeout)
	defer cancel()
	check, err := p.readBack(ctx)
	if err != nil {
		r.CheckError = err.Error()
		return r, err
	}
	r.Check = check
	if !p.opts.Keep && r.Safe() { // rows that prove a fault are left for whoever looks into it
		if err := p.deleteRows(ctx); err != nil {
			r.Left = err.Error()
		}
	}
	return r, nil
}

// pause sleeps for d, or for ever if d is zero; it reports false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		<-ctx.Done()
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
