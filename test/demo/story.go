package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
	"mcctl/test/bench/stage"
)

// calm is how long clients must be able to write without a break before the next
// thing happens to them.
const calm = 700 * time.Millisecond

// story is a demonstration under way.
type story struct {
	*stage.Stage
	clients *probe.Probe
	began   time.Time
	status  acting // before the scene
}

// acting says who is what while a scene begins.
type acting struct {
	primary, standby pair.Server
	term             pair.Term
}

// show makes the pair, plays all scenes and takes the pair down. The result is nil
// only if no client ever wrote.
func show(ctx context.Context, dir, mcctl, profile string) (result *probe.Result, err error) {
	s := &story{began: time.Now()}
	s.say("making a pair and its witness in %s", dir)
	// A killed server leaves its shared memory behind until its next start, which a
	// demonstration that is broken off may not come to; in the data directory it
	// goes with the rest.
	settings := map[string]string{"dynamic_shared_memory_type": "mmap"}
	s.Stage, err = stage.Up(ctx, filepath.Join(dir, "pair"), mcctl, profile, settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		s.say("taking everything down")
		err = errors.Join(err, s.Down(ctx))
	}()
	s.say("4 clients begin to write, each every 5 ms")
	if s.clients, err = probe.Start(ctx, s.Writers()); err != nil {
		return nil, err
	}
	err = s.play(ctx)
	s.say("looking for every acknowledged row")
	result, errStop := s.clients.Stop()
	return result, errors.Join(err, errStop)
}

func (s *story) play(ctx context.Context) error {
	if err := s.settle(ctx, 0); err != nil {
		return err
	}
	for _, scene := range scenes() {
		if err := s.scene(ctx, scene); err != nil {
			return fmt.Errorf("%s: %w", scene.mark, err)
		}
	}
	return nil
}

// settle waits until the pair is whole in that term and the clients write, and
// notes who is what.
func (s *story) settle(ctx context.Context, term pair.Term) error {
	began := time.Now()
	st, err := s.Await(ctx, term)
	if err != nil {
		return err
	}
	s.say("  the pair is whole; waited %.1f s for it", time.Since(began).Seconds())
	s.status = acting{primary: st.Record.Primary, standby: stage.Other(st.Record.Primary), term: st.Record.Term}
	return s.clients.WaitCalm(ctx, calm)
}

func (s *story) scene(ctx context.Context, scene scene) error {
	s.say("%s", scene.words(s.status))
	s.clients.Mark(scene.mark)
	if err := scene.act(ctx, s); err != nil {
		return err
	}
	switch {
	case scene.apart: // it stays so until the next scene
		return s.clients.WaitCalm(ctx, calm)
	case scene.moves:
		return s.settle(ctx, s.status.term+1)
	}
	return s.settle(ctx, s.status.term)
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "%5.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}
