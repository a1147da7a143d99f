package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
	"mcctl/test/bench/stage"
)

// How long writers must flow without a break before an event and after it: the
// first settles them, the second is long enough to see what comes late.
const (
	before = 700 * time.Millisecond
	after  = time.Second
)

// Marks of a trial.
const (
	markEvent = "event"
	markMend  = "mend"
)

// trial is one event on a pair that was healthy when it began. What the event
// needs to know is found out beforehand, so that nothing slow comes first in it.
type trial struct {
	*stage.Stage
	writers          *probe.Probe
	primary, standby pair.Server
	broken           pair.Server // whom the event met, if somebody has to mend it
	term             pair.Term
	pids             lab.Pids
	frozen           []int
	began            time.Time
	whole            time.Duration
}

// try lets the event happen once and tells what clients saw. The sample is worth
// something only if the error is nil.
func try(ctx context.Context, s *stage.Stage, e event) (sample, error) {
	t, err := prepare(ctx, s)
	if err != nil {
		return sample{}, err
	}
	var old *oldSessions
	if e.frozen {
		if old, err = openOldSessions(ctx, s, t.primary); err != nil {
			return sample{}, err
		}
		defer old.close()
	}
	if t.writers, err = probe.Start(ctx, s.Writers()); err != nil {
		return sample{}, err
	}
	err = t.play(ctx, e, old)
	stage.Thaw(t.frozen...) // if it was broken off
	result, errStop := t.writers.Stop()
	if err = errors.Join(err, errStop); err != nil {
		return sample{}, err
	}
	out := t.sample(result, e)
	if old != nil {
		out.Ghosts, err = old.missing(ctx, s)
	}
	return out, err
}

func prepare(ctx context.Context, s *stage.Stage) (*trial, error) {
	st, err := s.Await(ctx, 0)
	if err != nil {
		return nil, err
	}
	p := st.Record.Primary
	return &trial{Stage: s, primary: p, standby: stage.Other(p), term: st.Record.Term, pids: s.Lab.Pids()}, nil
}

func (t *trial) play(ctx context.Context, e event, old *oldSessions) error {
	if err := t.calm(ctx, before); err != nil {
		return err
	}
	t.mark(markEvent)
	if err := e.act(ctx, t); err != nil {
		return err
	}
	if e.mend != nil {
		if err := t.calm(ctx, after); err != nil {
			return err
		}
		if old != nil {
			go old.write(ctx)
		}
		t.mark(markMend)
		if err := e.mend(ctx, t); err != nil {
			return err
		}
	} else if !e.moves { // give everybody time to notice: until then the pair looks healthy
		if err := t.calm(ctx, after); err != nil {
			return err
		}
	}
	return t.heal(ctx, e)
}

// heal waits until the pair is whole and a little longer.
func (t *trial) heal(ctx context.Context, e event) error {
	term := t.term
	if e.moves {
		term++
	}
	if _, err := t.Await(ctx, term); err != nil {
		return err
	}
	t.whole = time.Since(t.began)
	return t.calm(ctx, after)
}

// calm gives clients a minute: nothing that is measured here takes longer, and a
// pair that is stuck must not hold the rest up.
func (t *trial) calm(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.writers.WaitCalm(ctx, d)
}

func (t *trial) mark(name string) {
	t.began = time.Now()
	t.writers.Mark(name)
}

func (t *trial) sample(r *probe.Result, e event) sample {
	s := observed(r)
	at, _ := r.Mark(markEvent)
	mend, mended := r.Mark(markMend)
	gap, way := at.Gap, mend.Gap
	if e.moves && e.mend == nil {
		gap, way = apart(r.Gaps, at)
		mended = true
	}
	s.Values = map[string]float64{"gap_ms": millis(time.Duration(gap.Length))}
	if mended {
		s.Values["mend_gap_ms"] = millis(time.Duration(way.Length))
	}
	if e.mend != nil || e.moves {
		s.Values["whole_ms"] = millis(t.whole)
	}
	return s
}

// apart tells the gap in which the role moved from the longest other one: where the old
// primary comes back by itself, it has the disk and the CPUs of the new one here.
func apart(gaps []probe.Gap, event probe.Event) (moved, other probe.Gap) {
	moved = event.Gap
	touched := slices.DeleteFunc(slices.Clone(gaps), func(g probe.Gap) bool { return g.At+g.Length <= event.At })
	if i := slices.IndexFunc(touched, func(g probe.Gap) bool { return g.From != g.To }); i >= 0 {
		moved = touched[i]
	}
	for _, g := range touched {
		if g != moved && g.Length > other.Length {
			other = g
		}
	}
	return moved, other
}

// observed is the part of a sample that is the same for whatever was measured.
func observed(r *probe.Result) sample {
	s := sample{At: r.Began, Acked: r.Acked, Overlap: r.Overlap}
	if r.Check == nil {
		s.Error = "not checked: " + r.CheckError
		return s
	}
	s.Lost, s.Doubled = r.Check.Lost, r.Check.Doubled
	if !r.Safe() && s.safe() {
		s.Error = fmt.Sprintf("not safe: %s", r.Verdict())
	}
	return s
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
