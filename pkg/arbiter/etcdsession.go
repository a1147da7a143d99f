package arbiter

import (
	"context"
	"errors"
	"strings"
	"time"

	"mcctl/pkg/wire"
)

const (
	// slowRetry bounds the pause after failures that may pass: a primary has to be heard
	// again before its lease runs out. hopelessRetry is for what an operator must mend.
	slowRetry     = time.Second
	hopelessRetry = 5 * time.Second
	// watchLife ends a watch now and then: its member may have been frozen since.
	watchLife = 30 * time.Second
	// parting is how long an ending supervisor takes to give its lease back.
	parting = 500 * time.Millisecond
)

// Run keeps a session until ctx ends, and then gives the lease back: that is what the
// end of a connection is to a witness.
func (e *etcd) Run(ctx context.Context) error {
	watched, tried := e.beside(ctx, e.watch), e.beside(ctx, e.tryWrites)
	pause := e.cfg.Interval
	for ctx.Err() == nil {
		turning, cancel := e.clock.Timeout(ctx, e.cfg.Timeout, nil)
		err := e.turn(turning)
		cancel()
		wait := wire.TickAfter(e.clock.Now(), e.cfg.Interval)
		kick := e.kick
		if err == nil {
			pause = e.cfg.Interval
		} else if ctx.Err() == nil {
			e.failed(err)
			wait, kick = pause, nil
			pause = min(2*pause, longest(err))
		}
		e.clock.Wait(ctx, wait, kick)
	}
	e.clock.Wait(context.WithoutCancel(ctx), -1, watched)
	e.clock.Wait(context.WithoutCancel(ctx), -1, tried)
	e.part(context.WithoutCancel(ctx))
	return nil
}

// beside begins a work of its own, and ended is closed behind it.
func (e *etcd) beside(ctx context.Context, work func(context.Context)) (ended chan struct{}) {
	ended = make(chan struct{})
	e.begin(func() {
		defer close(ended)
		work(ctx)
	})
	return ended
}

// longest is the longest pause after an error.
func longest(err error) time.Duration {
	var said *etcdError
	if errors.Is(err, errForeign) || errors.As(err, &said) && (said.Code == codeInvalid || said.Code == codeDenied || said.Code == codeUnauthenticated) {
		return hopelessRetry
	}
	return slowRetry
}

// turn brings the session up to date: a lease that lives, our report as it is now, and
// a fresh view of everything.
func (e *etcd) turn(ctx context.Context) error {
	lease, err := e.live(ctx)
	if err != nil {
		return err
	}
	for range 3 { // a report that was put is looked at again
		e.mu.Lock()
		session, told, before := e.session, e.told, e.view.revision
		e.mu.Unlock()
		asked := e.clock.Now()
		v, err := e.look(ctx)
		if err != nil {
			return err
		}
		mine := v.servers[e.cfg.Me]
		if told && (v.revision < before || mine.lease != lease) { // emptied, older, or too late
			e.end()
			return errors.New("etcd does not know this server's lease any more; beginning anew")
		}
		now := e.newest()
		if mine.lease == lease && mine.report.Known.NewerThan(now.Known) {
			now.Known = mine.report.Known // a change of ours that was made, and whose answer is on its way
		}
		if mine.lease != lease || mine.report != now {
			err := e.say(ctx, v, now, lease)
			if err == nil {
				continue
			}
			if mine.lease != lease || !takesNoWrites(err) {
				return err
			}
			e.noteWrite(err) // and what is read counts all the same
		}
		e.mu.Lock()
		e.told = session == e.session
		e.mu.Unlock()
		if err := e.learn(v, session, asked); err != nil {
			return err
		}
		if !v.record.Exists() && v.heard(e.cfg.Other) {
			defer e.Kick()
			return e.find(ctx, v, lease)
		}
		return nil
	}
	return nil // what we know changes faster than it is told; the next turn goes on
}

// newest is the report as it is now, with all that this session has learned.
func (e *etcd) newest() wire.WitnessReport {
	now := e.report()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known.NewerThan(now.Known) {
		now.Known = e.known
	}
	return now
}

// live gives a lease that has not run out.
func (e *etcd) live(ctx context.Context) (int64, error) {
	e.mu.Lock()
	lease, due := e.lease, e.clock.Now()-e.renewed >= e.ttl/3
	e.mu.Unlock()
	if lease == 0 {
		asked := e.clock.Now()
		l, err := e.grant(ctx)
		if err != nil {
			return 0, err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.lease, e.ttl, e.renewed, e.told = l.ID, time.Duration(l.TTL)*time.Second, asked, false
		e.view.revision = 0 // whatever it says first counts: it may be another etcd
		return l.ID, nil
	}
	if !due {
		return lease, nil
	}
	asked := e.clock.Now()
	alive, err := e.refresh(ctx, lease)
	if err != nil {
		return 0, err
	}
	if !alive {
		e.end()
		return 0, errors.New("the lease has run out; beginning anew")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.renewed = asked
	return lease, nil
}

// end gives the session up. Only then may another store be told what we know.
func (e *etcd) end() {
	e.mu.Lock()
	e.session++
	e.lease, e.told = 0, false
	e.mu.Unlock()
	e.tell()
}

// failed notes why etcd does not answer, and tells if that is news.
func (e *etcd) failed(err error) {
	var said *etcdError
	if errors.As(err, &said) && said.Code == codeNotFound && strings.Contains(said.Text, "lease") {
		e.end()
	}
	e.note(&e.problem, e.client.plain(err))
}

// note keeps a text that others see, and tells if it is news.
func (e *etcd) note(kept *string, text string) {
	e.mu.Lock()
	news := *kept != text
	*kept = text
	e.mu.Unlock()
	if news {
		e.tell()
	}
}

// watch has the loop look as soon as something changes. The loop looks anyway, so
// nothing is lost when a watch ends.
func (e *etcd) watch(ctx context.Context) {
	request := map[string]etcdRange{"create_request": e.keys.all()}
	for ctx.Err() == nil {
		life, cancel := e.clock.Timeout(ctx, watchLife, nil)
		_ = e.client.watch(life, request, e.Kick)
		cancel()
		e.clock.Wait(ctx, slowRetry, nil)
	}
}

// part gives the lease back, so that the other server need not wait for its end.
func (e *etcd) part(ctx context.Context) {
	e.mu.Lock()
	lease := e.lease
	e.mu.Unlock()
	e.end()
	if lease == 0 {
		return
	}
	ctx, cancel := e.clock.Timeout(ctx, parting, nil)
	defer cancel()
	var nothing struct{}
	_ = e.client.call(ctx, "/v3/lease/revoke", etcdLease{ID: lease}, &nothing, true)
}
