// Command bench measures what clients notice of switches and failures, beside two
// bare PostgreSQL servers driven by hand in the same run, and what a pair costs at
// rest. Results go line by line into a file, so that a run that was broken off is
// continued by the next, and at the end into docs/benchmarks.md and .json. It
// decides nothing about the product: a number that is too high is a number. make
// bench runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"mcctl/test/bench/stage"
)

// options come from flags, and those from make's variables.
type options struct {
	mcctl    string
	runs     int
	profiles []string
	events   []string // empty is all
	samples  string
	peers    string
	drivers  string
	tools    []string
	page     string
	report   bool
}

func main() {
	var o options
	runs, err := strconv.Atoi(os.Getenv("RUNS"))
	if err != nil {
		runs = 10
	}
	profiles := words(os.Getenv("PROFILE"))
	if len(profiles) == 0 {
		profiles = []string{"default", "tight"}
	}
	flag.StringVar(&o.mcctl, "mcctl", stage.Mcctl(), "the mcctl `program` to measure")
	flag.IntVar(&o.runs, "runs", runs, "how often each event happens (RUNS)")
	profileList := flag.String("profiles", strings.Join(profiles, ","), "timings (PROFILE)")
	eventList := flag.String("events", os.Getenv("EVENTS"), "some `events` only (EVENTS); without it all: "+strings.Join(eventNames(), ","))
	flag.StringVar(&o.samples, "samples", "build/bench.jsonl", "`file` that results are appended to")
	flag.StringVar(&o.peers, "peers", "build/peers.jsonl", "`file` with results of other tools, if there is one")
	flag.StringVar(&o.drivers, "drivers", "", "measure other tools instead, by the drivers in this `directory`")
	toolList := flag.String("tools", os.Getenv("PEERS"), "which `drivers` (PEERS); without it all")
	flag.StringVar(&o.page, "page", "docs/benchmarks.md", "the `page` to write, and the .json beside it; empty for neither")
	flag.BoolVar(&o.report, "report", false, "measure nothing, only write the page from the results there are")
	flag.Parse()
	o.profiles, o.events, o.tools = words(*profileList), words(*eventList), words(*toolList)
	ctx, stop := stage.Interruptible()
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// words takes commas and blanks for separators.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// run measures what is missing and, once nothing is, writes the page.
func run(ctx context.Context, o options) error {
	if err := known(o.events); err != nil {
		return err
	}
	if err := fill(ctx, o); err != nil {
		return fmt.Errorf("%w; the next run goes on from here", err)
	}
	var all []sample
	for _, path := range []string{o.samples, o.peers} {
		some, err := ifThere(readSamples(path))
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	if err := writePage(o.page, all); err != nil {
		return err
	}
	return verdict(all)
}

// fill takes the samples that are missing.
func fill(ctx context.Context, o options) (err error) {
	if o.report {
		return nil
	}
	release, err := alone(o.samples)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if o.drivers != "" {
		return measurePeers(ctx, o)
	}
	return measure(ctx, o)
}
