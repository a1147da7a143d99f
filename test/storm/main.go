// Command storm kills processes of a lab at random moments of switch, attach,
// detach, rejoin and failover, with writers running, and demands after each kill
// that the pair comes back to paired by itself; at the end, that no acknowledged
// row is missing and that two servers never acknowledged in turn. One seed draws
// everything, so a run can be repeated. make storm-kills runs it long; the test of this
// package runs it short.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/test/bench/stage"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "draws everything")
	flag.IntVar(&o.rounds, "rounds", 200, "kills")
	flag.StringVar(&o.dir, "dir", "", "where the lab is made; kept after a failure (default: a new one below /tmp)")
	flag.StringVar(&o.mcctl, "mcctl", stage.Mcctl(), "the mcctl `program`")
	flag.StringVar(&o.bin, "bin-dir", os.Getenv("PG_BIN"), "PostgreSQL's programs")
	flag.StringVar(&o.arbiter, "arbiter", "witness", "witness or none")
	flag.StringVar(&o.profile, "profile", "default", "timings")
	flag.DurationVar(&o.patience, "patience", time.Minute, "how long the pair may take to be paired again")
	flag.Parse()
	o.out = os.Stdout
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := asUser(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

// asUser runs the storm as a user that PostgreSQL can run as.
func asUser(ctx context.Context, o options) error {
	dir, program, again, err := stage.Workplace(o.mcctl)
	if err != nil {
		return err
	}
	o.mcctl = program
	if o.dir == "" {
		o.dir = filepath.Join(dir, "lab")
	}
	err = run(ctx, o)
	if err == nil {
		_ = os.RemoveAll(dir)
	}
	return errors.Join(err, again())
}
