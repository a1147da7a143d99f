package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"mcctl/pkg/probe"
	"mcctl/pkg/record"
)

// play is one run of a scenario. It begins with a pair that is paired, a primary,
// and clients that write to it.
type play struct {
	w         *world
	file      *scenario
	clients   *probe.Probe
	registers *registers
	reads     *reads
	since     time.Time       // when the present step began
	revision  record.Revision // at that moment
	steps     []string
	expects   []expectation
	before    map[string]string // journals of events then, by server
	first     map[string]string // those when the scenario began
	known     map[string]int    // pids that were remembered
	alone     bool              // the pair may end so
	said      string            // by the command under way
	rows      []row             // measured so far
}

// expectation is of the clients, who are asked at the end.
type expectation struct {
	step int
	bound
}

func newPlay(w *world, s *scenario) *play {
	return &play{w: w, file: s, before: map[string]string{}, known: map[string]int{}}
}

// play plays one scenario on fresh hosts.
func (w *world) play(ctx context.Context, file string) (rows []row, err error) {
	s, err := readScenario(file)
	if err != nil {
		return nil, err
	}
	w.say("\n=== %s: %s", s.name, s.title)
	p := newPlay(w, s)
	if err = p.begin(ctx); err == nil {
		err = p.lines(ctx)
	}
	if err == nil && !p.alone {
		err = p.whole(ctx)
	}
	endErr := p.end()
	err = errors.Join(err, endErr, w.keepMeasured(p.rows, err == nil && endErr == nil))
	if err != nil || w.keepAll {
		err = errors.Join(err, w.keepLogs(s.name))
	}
	return p.rows, errors.Join(err, w.down())
}

// whole: the pair is paired at the end. What a server that came back has on its disk is read
// only by whom it lets write, so it reigns once more.
func (p *play) whole(ctx context.Context) error {
	if err := p.w.until(ctx, "paired at the end", patience, p.w.paired); err != nil {
		return err
	}
	back, err := p.cameBack()
	if err != nil || !back {
		return err
	}
	if err := p.step(ctx, []string{"a switch to what came back"}); err != nil {
		return err
	}
	p.w.say("     a switch to what came back")
	if err := p.switchOver(ctx, nil); err != nil {
		return err
	}
	if err := p.w.until(ctx, "paired after a switch to what came back", patience, p.w.paired); err != nil {
		return err
	}
	return p.waitFor(ctx, "writes", nil, patience)
}

func (p *play) begin(ctx context.Context) (err error) {
	if err := p.w.fresh(p.file); err != nil {
		return err
	}
	for _, name := range []string{"w", "a", "b"} {
		if err := p.w.hosts[name].boot(); err != nil {
			return err
		}
	}
	if err := p.w.until(ctx, "paired", patience, p.w.paired); err != nil {
		return err
	}
	uri := clientURI("10.77.0.1,10.77.0.2") + "&target_session_attrs=read-write"
	if p.registers, err = startRegisters(ctx, uri, clientURI("10.77.0.1"), clientURI("10.77.0.2")); err != nil {
		return err
	}
	if p.reads, err = startReads(ctx, uri); err != nil {
		return err
	}
	p.clients, err = probe.Start(ctx, probe.Options{
		URI:     uri,
		Writers: 4, Interval: 10 * time.Millisecond, ConnectTimeout: 300 * time.Millisecond, OpTimeout: 500 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	calm, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.clients.WaitCalm(calm, 300*time.Millisecond)
}

func clientURI(hosts string) string {
	return "postgresql://postgres@" + hosts + "/postgres?sslmode=disable"
}

func (p *play) lines(ctx context.Context) error {
	p.since = time.Now()
	p.readEvents()
	p.first = maps.Clone(p.before)
	for _, l := range p.file.lines {
		w, rest, err := meaning(l)
		if err != nil {
			return err
		}
		p.said = ""
		err = w.do(p, ctx, rest)
		p.w.say("%3d  %s%s", l.number, l.text, p.said)
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", p.file.name, l.number, l.text, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (p *play) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		p.said += "  [" + strings.ReplaceAll(text, "\n", "\n          ") + "]"
	}
}

// step begins a part with a name: gaps are counted from here.
func (p *play) step(_ context.Context, rest []string) error {
	p.steps = append(p.steps, strings.Join(rest, " "))
	p.since, p.revision = time.Now(), p.w.revision()
	p.readEvents()
	p.clients.Mark(p.mark(len(p.steps) - 1))
	return nil
}

func (p *play) mark(step int) string { return fmt.Sprintf("%d %s", step+1, p.steps[step]) }

func (p *play) pause(ctx context.Context, rest []string) error {
	d, err := time.ParseDuration(rest[0])
	if err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return nil
}

// expectGap holds for all silences that touch the time from the beginning of the step
// to the next one.
func (p *play) expectGap(_ context.Context, rest []string) error {
	b, rest, err := readBound(rest)
	if err == nil && (len(rest) > 0 || len(p.steps) == 0) {
		err = errors.New("want expect gap bound TIME or expect gap < TIME, after a step")
	}
	p.expects = append(p.expects, expectation{len(p.steps) - 1, b})
	return err
}

// expectNoGap leaves clients what the machine takes.
func (p *play) expectNoGap(context.Context, []string) error {
	if len(p.steps) == 0 {
		return errors.New("want expect no gap after a step")
	}
	p.expects = append(p.expects, expectation{step: len(p.steps) - 1})
	return nil
}

// expectNoRowLost is what every scenario is asked at its end; the line is for the reader.
func (p *play) expectNoRowLost(context.Context, []string) error { return nil }

// end stops the clients and judges what they saw.
func (p *play) end() (err error) {
	judged := ""
	if p.registers != nil {
		judged, err = p.registers.end()
	}
	if p.reads != nil {
		p.reads.end()
	}
	if p.clients == nil {
		return err
	}
	r, readErr := p.clients.Stop()
	err = errors.Join(err, readErr)
	if r == nil {
		return err
	}
	if !r.Safe() {
		var text strings.Builder
		_ = r.Text(&text)
		err = errors.Join(err, fmt.Errorf("%s:\n%s", r.Verdict(), text.String()))
	}
	p.w.say("     %d rows acknowledged, %s, longest gap %s%s; %s", r.Acked, r.Verdict(), r.Longest.Length, during(r), judged)
	return errors.Join(err, p.gaps(r))
}

// during names the step in which the longest gap ended.
func during(r *probe.Result) (step string) {
	for _, mark := range r.Marks {
		if mark.At < r.Longest.At+r.Longest.Length {
			step = ", in step " + mark.Name
		}
	}
	return step
}

// gaps holds what clients saw against what was expected.
func (p *play) gaps(r *probe.Result) (err error) {
	for _, e := range p.expects {
		m, _ := r.Mark(p.mark(e.step))
		gap := time.Duration(m.Gap.Length)
		p.rows = append(p.rows, row{p.file.name, p.steps[e.step], "gap", e.bound, gap})
		if gap >= e.limit() {
			err = errors.Join(err, fmt.Errorf("%s: clients could not write for %s after %q, want less than %s", p.file.name, seconds(gap), p.steps[e.step], e.limit()))
		}
	}
	return err
}
