package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mcctl/test/bench/floor"
	"mcctl/test/bench/stage"
)

// A trial that fails says something, three say that there is no point in going on.
const failuresMax = 3

// bench is one run over all profiles.
type bench struct {
	options
	dir      string
	program  string // digest
	have     []sample
	journal  *journal
	stage    *stage.Stage
	floor    *floor.Pair
	failures int
}

// measure takes the samples that are missing. What needs the caller's rights is
// done first: afterwards we are the user that PostgreSQL runs as.
func measure(ctx context.Context, o options) (err error) {
	b := &bench{options: o}
	if b.program, err = digest(o.mcctl); err != nil {
		return err
	}
	if b.have, err = earlier(o.samples, b.program, b.complete); err != nil {
		return err
	}
	if b.journal, err = openJournal(o.samples); err != nil {
		return err
	}
	defer b.journal.file.Close()
	if err := b.once(ctx); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, program, again, err := stage.Workplace(o.mcctl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again(), os.RemoveAll(dir), os.Chdir(here)) }()
	b.dir, b.mcctl = dir, program
	for _, profile := range o.profiles {
		if err := b.profile(ctx, profile); err != nil {
			return fmt.Errorf("profile %s: %w", profile, err)
		}
	}
	return nil
}

func digest(path string) (string, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the mcctl program: %w; build it by: make build", err)
	}
	sum := sha256.Sum256(program)
	return hex.EncodeToString(sum[:6]), nil
}

// lacks tells whether there are fewer than n samples.
func lacks(have []sample, subject, profile, event string, n int) bool {
	for _, s := range have {
		if s.Subject == subject && s.Profile == profile && s.Event == event && s.Error == "" {
			n--
		}
	}
	return n > 0
}

func (b *bench) wanted(event string) bool {
	return len(b.events) == 0 || slices.Contains(b.events, event)
}

// times is how often an event is measured; what takes long and varies little, once.
func (b *bench) times(event string) int {
	if event == atRest {
		return 1
	}
	return b.runs
}

func (b *bench) complete(have []sample) bool {
	for _, profile := range b.profiles {
		for _, e := range eventNames() {
			if b.wanted(e) && lacks(have, ours, profile, e, b.times(e)) {
				return false
			}
		}
	}
	return true
}

func (b *bench) profile(ctx context.Context, profile string) error {
	one := *b
	one.profiles = []string{profile}
	if one.complete(b.have) {
		return nil
	}
	if err := b.up(ctx, profile); err != nil {
		return err
	}
	err := b.rounds(ctx, profile)
	return errors.Join(err, b.down(ctx))
}

// up makes a pair and, beside it, the bare one.
func (b *bench) up(ctx context.Context, profile string) (err error) {
	b.say("making a pair with profile %s", profile)
	if b.stage, err = stage.Up(ctx, filepath.Join(b.dir, "lab"), b.mcctl, profile, nil); err != nil {
		return err
	}
	b.floor, err = floor.Up(filepath.Join(b.dir, "floor"), b.stage.Lab.BinDir())
	if err != nil {
		return errors.Join(err, b.stage.Down(ctx))
	}
	return nil
}

func (b *bench) down(ctx context.Context) error {
	b.floor.Down()
	return errors.Join(b.stage.Down(ctx), os.RemoveAll(filepath.Join(b.dir, "floor")))
}

// rounds lets every event happen once, then again, so that a disturbance of the
// machine meets all of them and not one.
func (b *bench) rounds(ctx context.Context, profile string) error {
	for n := range b.runs {
		for _, e := range events() {
			if !b.wanted(e.name) {
				continue
			}
			if err := b.one(ctx, profile, n, e); err != nil {
				return err
			}
		}
		if err := b.cold(ctx, profile, n); err != nil {
			return err
		}
	}
	return b.rest(ctx, profile)
}

// one is an event and its floor, unless an earlier run got that far.
func (b *bench) one(ctx context.Context, profile string, n int, e event) error {
	if lacks(b.have, ours, profile, e.name, n+1) {
		s, err := try(ctx, b.stage, e)
		if err := b.note(ctx, ours, profile, e.name, s, err); err != nil {
			return err
		}
	}
	if e.floor == "" || !lacks(b.have, bareFloor, profile, string(e.floor), n+1) {
		return nil
	}
	results, err := floor.Measure(ctx, b.floor, e.floor, 1)
	var s sample
	if len(results) > 0 {
		s = observed(results[0])
		gap, _ := results[0].Mark(string(e.floor))
		s.Values = map[string]float64{"gap_ms": millis(time.Duration(gap.Gap.Length))}
	}
	return b.note(ctx, bareFloor, profile, string(e.floor), s, err)
}

// note writes a sample down. A failure is written down too, and the pair is made
// anew for the next one.
func (b *bench) note(ctx context.Context, subject, profile, event string, s sample, failure error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.Subject, s.Profile, s.Event, s.Program = subject, profile, event, b.program
	if failure != nil {
		s.Error, s.Values, s.At = failure.Error(), nil, time.Now()
	}
	b.have = append(b.have, s)
	b.say("%-7s %-8s %-20s %s", subject, profile, event, s)
	if err := b.journal.add(s); err != nil {
		return err
	}
	if failure == nil {
		return nil
	}
	if b.failures++; b.failures >= failuresMax {
		return fmt.Errorf("%d trials failed, the last: %w", b.failures, failure)
	}
	if err := b.down(ctx); err != nil {
		return err
	}
	return b.up(ctx, profile)
}

func (b *bench) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
