// Command dirty measures a planned switch of a pair with a large dirty buffer pool
// under pgbench, beside the same done by hand on bare PostgreSQL with two
// CHECKPOINTs before, in turns on the same disk. It makes both pairs in a new
// directory below /tmp and takes them down again. It fails when the gap is longer than
// promised. make bench-dirty runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mcctl/test/bench/floor"
	"mcctl/test/bench/stage"
)

// options come from flags.
type options struct {
	rounds, scale, clients int
	dirty                  int // MB
	pool                   string
	warmup                 time.Duration
}

// side is one of the two pairs that are compared.
type side struct {
	name string
	uri  string // for pgbench: the server that takes writes
	once func(context.Context) (switched, error)
	all  []switched
}

// switched is what clients saw of one switch.
type switched struct {
	gap  time.Duration
	lost uint64
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each is measured")
	flag.IntVar(&o.scale, "scale", 120, "pgbench's scale: 15 MB each")
	flag.IntVar(&o.clients, "clients", 4, "pgbench's clients")
	flag.IntVar(&o.dirty, "dirty", 1200, "how many MB of new pages are made just before each switch, beside what pgbench writes")
	flag.StringVar(&o.pool, "pool", "2GB", "shared_buffers")
	flag.DurationVar(&o.warmup, "warmup", 40*time.Second, "how long pgbench writes before each switch")
	flag.Parse()
	ctx, stop := stage.Interruptible()
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-dirty:", err)
		os.Exit(1)
	}
}

// settings keep the pool dirty: no checkpoint comes by itself.
func (o options) settings() map[string]string {
	return map[string]string{"shared_buffers": o.pool, "max_wal_size": "32GB", "checkpoint_timeout": "1h"}
}

func run(ctx context.Context, o options) (err error) {
	dir, program, again, err := stage.Workplace(stage.Mcctl())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again(), os.RemoveAll(dir)) }()
	s, err := stage.Up(ctx, filepath.Join(dir, "lab"), program, "default", o.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Down(ctx)) }()
	var lines []string
	for name, value := range o.settings() {
		lines = append(lines, fmt.Sprintf("%s = '%s'", name, value))
	}
	bare, err := floor.Up(filepath.Join(dir, "floor"), s.Lab.BinDir(), lines...)
	if err != nil {
		return err
	}
	defer bare.Down()
	load := pgbench{bin: s.Lab.BinDir(), dir: dir, options: o}
	sides := []*side{
		{name: "by hand", uri: bare.URI(), once: func(ctx context.Context) (switched, error) { return byHand(ctx, bare) }},
		{name: "mcctl", uri: superuser(s), once: func(ctx context.Context) (switched, error) { return ours(ctx, s) }},
	}
	if err := measure(ctx, load, sides); err != nil {
		return err
	}
	return report(sides)
}

// measure lets one after the other switch, and changes who begins: what the disk
// still has to do of the one before meets both alike.
func measure(ctx context.Context, load pgbench, sides []*side) error {
	for _, s := range sides {
		fmt.Printf("%-8s filling %d MB\n", s.name, load.scale*15)
		if err := load.fill(ctx, s.uri); err != nil {
			return err
		}
	}
	for range load.rounds {
		for _, s := range sides {
			dirty, stop, err := load.begin(ctx, s.uri)
			if err != nil {
				return err
			}
			got, err := s.once(ctx)
			stop()
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.all = append(s.all, got)
			fmt.Printf("%-8s %4d MB dirty: gap %4d ms, %d acknowledged rows lost\n", s.name, dirty>>20, got.gap.Milliseconds(), got.lost)
		}
		slices.Reverse(sides)
	}
	return nil
}

// most is how much longer the gap may be than that by hand.
const most = 1.5

func report(sides []*side) error {
	medians, lost := map[string]time.Duration{}, uint64(0)
	for _, s := range sides {
		slices.SortFunc(s.all, func(a, b switched) int { return int(a.gap - b.gap) })
		middle := s.all[len(s.all)/2].gap
		medians[s.name] = middle
		for _, one := range s.all {
			lost += one.lost
		}
		fmt.Printf("median   %-8s gap %d ms (%d-%d)\n", s.name, middle.Milliseconds(), s.all[0].gap.Milliseconds(), s.all[len(s.all)-1].gap.Milliseconds())
	}
	ratio := float64(medians["mcctl"]) / float64(medians["by hand"])
	fmt.Printf("mcctl's gap is %.2f of that by hand\n", ratio)
	switch {
	case lost > 0:
		return fmt.Errorf("%d acknowledged rows are lost", lost)
	case ratio > most:
		return fmt.Errorf("the gap may be %.1f of that by hand", most)
	}
	return nil
}
