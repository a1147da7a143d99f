package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mcctl/test/bench/stage"
)

// peerProfile is how the tools are configured: as they come.
const peerProfile = "default"

// measurePeers takes the samples of other tools that are missing.
func measurePeers(ctx context.Context, o options) (err error) {
	drivers, err := readDrivers(o.drivers)
	if err != nil {
		return err
	}
	b := &bench{options: o}
	if b.have, err = ifThere(readSamples(o.peers)); err != nil {
		return err
	}
	if b.journal, err = openJournal(o.peers); err != nil {
		return err
	}
	defer b.journal.file.Close()
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, _, again, err := stage.Workplace(o.mcctl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again(), os.RemoveAll(dir), os.Chdir(here)) }()
	for name, text := range drivers {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			return fmt.Errorf("copy drivers: %w", err)
		}
	}
	for _, name := range toolsOf(drivers, o.tools) {
		if err := b.tool(ctx, dir, name); err != nil {
			return err
		}
	}
	return nil
}

// readDrivers reads the scripts while we may still read where the caller stands.
func readDrivers(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read drivers: %w", err)
	}
	texts := map[string][]byte{}
	for _, e := range entries {
		if texts[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, fmt.Errorf("read drivers: %w", err)
		}
	}
	return texts, nil
}

func toolsOf(drivers map[string][]byte, wanted []string) (names []string) {
	for name := range drivers {
		if filepath.Ext(name) == "" && (len(wanted) == 0 || slices.Contains(wanted, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tool measures one of them. What it cannot do is written down and does not keep
// the others from being measured.
func (b *bench) tool(ctx context.Context, dir, name string) error {
	base, err := freeBlock()
	if err != nil {
		return err
	}
	p := &peer{name: name, driver: filepath.Join(dir, name), dir: filepath.Join(dir, "pair-"+name), base: base}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return err
	}
	defer p.do(context.WithoutCancel(ctx), "down") //nolint:errcheck // as well as can be
	b.say("setting up %s", name)
	if _, err := p.do(ctx, "up"); err != nil {
		b.say("%s cannot be set up: %v", name, err)
		return ctx.Err()
	}
	for n := range b.runs {
		for _, event := range peerEvents() {
			if !b.wanted(event) || !lacks(b.have, name, peerProfile, event, n+1) {
				continue
			}
			if err := b.peerTrial(ctx, p, event); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) peerTrial(ctx context.Context, p *peer, event string) error {
	s, err := p.try(ctx, event)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.Subject, s.Profile, s.Event = p.name, peerProfile, event
	if err != nil {
		s.Error, s.Values, s.At = err.Error(), nil, time.Now()
	}
	b.say("%-16s %-16s %s", p.name, event, s)
	return b.journal.add(s)
}
