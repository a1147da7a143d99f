package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/probe"
)

type options struct {
	seed                              uint64
	rounds                            int
	dir, mcctl, bin, arbiter, profile string
	patience                          time.Duration
	out                               io.Writer
}

// storm is one run.
type storm struct {
	options
	rnd    *rand.Rand
	lab    *lab.Lab
	counts map[string]int
	slow   time.Duration // longest recovery
}

// run makes a lab, kills o.rounds times, and judges. The lab stays for a post
// mortem if anything was wrong.
func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "mcstorm"); err != nil {
			return err
		}
	}
	s := &storm{options: o, rnd: rand.New(rand.NewPCG(o.seed, 0)), counts: map[string]int{}}
	s.say("seed %d, %d rounds, arbiter %s, profile %s, in %s", o.seed, o.rounds, o.arbiter, o.profile, o.dir)
	s.lab, err = lab.Up(ctx, lab.Options{Dir: o.dir, Arbiter: o.arbiter, BinDir: o.bin, Mcctl: o.mcctl, Profile: o.profile})
	if err != nil {
		return fmt.Errorf("make lab: %w", err)
	}
	err = s.underLoad(ctx)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if downErr := lab.Down(stop, o.dir, err == nil); downErr != nil {
		err = errors.Join(err, downErr)
	}
	if err != nil {
		return fmt.Errorf("seed %d: %w; the lab is kept in %s", o.seed, err, o.dir)
	}
	_ = os.Remove(o.dir)
	return nil
}

// underLoad runs the rounds between the start of the writers and their verdict.
func (s *storm) underLoad(ctx context.Context) error {
	p, err := probe.Start(ctx, probe.Options{URI: s.lab.Env()["PGURI"], Interval: 10 * time.Millisecond, Retry: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	err = s.rounds(ctx)
	result, stopErr := p.Stop()
	if stopErr != nil {
		return errors.Join(err, stopErr)
	}
	s.say("%s; longest gap %.0f ms; slowest recovery %s; kills: %v", result.Verdict(), time.Duration(result.Longest.Length).Seconds()*1e3, s.slow.Round(time.Millisecond), s.counts)
	if !result.Safe() {
		_ = result.Text(s.out)
		return errors.Join(err, errors.New(result.Verdict()))
	}
	return err
}

func (s *storm) rounds(ctx context.Context) error {
	for n := range s.options.rounds {
		if err := s.round(ctx, n+1); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	return nil
}

// round begins an operation, kills somebody in the middle of it, and waits until
// the pair is paired again. Until the kill every command has to succeed.
func (s *storm) round(ctx context.Context, n int) error {
	op := operations[s.rnd.IntN(len(operations))]
	delay := time.Duration(s.rnd.Int64N(int64(op.lasts)))
	done := s.begin(ctx, op)
	time.Sleep(delay)
	if err := done.failure(); err != nil {
		return fmt.Errorf("%s failed before anybody was killed: %w", op.name, err)
	}
	victim, killed := s.kill(done)
	s.counts[victim+" in "+op.name]++
	began := time.Now()
	<-done.ended
	err := s.heal(ctx, op)
	took := time.Since(began)
	s.slow = max(s.slow, took)
	s.say("%3d: %-14s kill %-12s (pid %d) after %4d ms: paired after %s", n, op.name, victim, killed, delay.Milliseconds(), took.Round(time.Millisecond))
	return err
}

func (s *storm) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
