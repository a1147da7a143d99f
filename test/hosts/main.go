// Command hosts leads a pair on three real hosts through faults. Each host has a
// systemd of its own, its own network namespace and its own ext4 disk, and each
// fault is a scenario file that a person can read (docs/testing.md). Everything is
// made in namespaces of this run, so the kernel takes it down with the run, however
// that ends. make hosts runs all scenarios, make test the quick ones, and make
// make storm draws faults from a seed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if !enclosed() {
		os.Exit(enclose())
	}
	o := options{out: os.Stdout}
	flag.StringVar(&o.mcctl, "mcctl", beside("mcctl"), "the mcctl `program`")
	flag.StringVar(&o.keep, "keep", "build/hosts", "where logs of what failed are put")
	flag.StringVar(&o.measured, "measured", "build/hosts/measured.jsonl", "the `file` that what is measured is added to")
	flag.IntVar(&o.runs, "runs", 1, "how often each scenario is played")
	flag.BoolVar(&o.keepAll, "keep-all", false, "put the logs of what passed there too")
	flag.StringVar(&o.arbiter, "arbiter", "witness", "kind of the arbiter: witness, none, etcd or command")
	minutes := flag.Float64("storm", 0, "draw faults from the seed for so many `minutes`, instead of scenarios")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "draws the faults of a storm")
	flag.Parse()
	if !slices.Contains(arbiterKinds(), o.arbiter) {
		fmt.Fprintf(os.Stderr, "hosts: -arbiter %q: want one of %v\n", o.arbiter, arbiterKinds())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	files := flag.Args()
	if len(files) == 0 {
		files, _ = filepath.Glob("test/hosts/scenarios/*.txt")
	}
	err := error(nil)
	if *minutes > 0 {
		err = runStorm(ctx, o, *seed, time.Duration(*minutes*float64(time.Minute)))
	} else {
		err = runAll(ctx, o, files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
}

// options are what a run is given.
type options struct {
	mcctl, keep string
	arbiter     string // kind
	storming    bool
	measured    string // file; empty: nothing is kept
	runs        int
	keepAll     bool // logs of what passed too
	out         io.Writer
}

func (o options) say(format string, args ...any) { fmt.Fprintf(o.out, format+"\n", args...) }

func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func runStorm(ctx context.Context, o options, seed uint64, length time.Duration) error {
	o.storming = true
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	return w.blow(ctx, seed, length, filepath.Join(o.keep, fmt.Sprintf("storm-%d.txt", seed)))
}

// runAll plays every scenario, also after one that failed, and prints the table.
func runAll(ctx context.Context, o options, files []string) error {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	var rows []row
	var bad []string
	for i := range len(files) * o.runs {
		file, began := files[i%len(files)], time.Now()
		got, err := w.play(ctx, file)
		rows = append(rows, got...)
		if err != nil {
			bad = append(bad, strings.TrimSuffix(filepath.Base(file), ".txt"))
			o.say("--- FAILED %s: %v", file, err)
		} else {
			o.say("--- passed %s (%.0f s)", file, time.Since(began).Seconds())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	o.say("\n%s", tableOf(rows))
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d scenarios failed: %v; their logs are in %s", len(bad), len(files)*o.runs, bad, o.keep)
	}
	return nil
}
