// Command demo shows a pair at work: it makes one in a new directory below /tmp,
// lets clients write to it, stops, switches and kills parts of it, waits each time
// until the pair is whole again, and tells what the clients noticed. It takes
// everything down again, whatever happens. make demo runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"mcctl/test/bench/stage"
)

// errLost is told by the exit status too: this must never happen.
var errLost = errors.New("acknowledged rows were lost, or two servers took writes; this is a fault of mcctl, please report it")

func main() {
	svg := flag.String("svg", "", "draw the run into this `file`")
	mcctl := flag.String("mcctl", stage.Mcctl(), "the mcctl `program` to show")
	profile := flag.String("profile", "default", "timings: default or tight")
	flag.Parse()
	ctx, stop := stage.Interruptible()
	defer stop()
	err := run(ctx, *mcctl, *profile, *svg)
	switch {
	case err != nil && ctx.Err() != nil && !errors.Is(err, errLost):
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything was taken down")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run opens the picture first, while we may still write where the caller stands.
func run(ctx context.Context, mcctl, profile, svg string) (err error) {
	var picture *os.File
	if svg != "" {
		if picture, err = os.Create(svg); err != nil {
			return fmt.Errorf("draw picture: %w", err)
		}
		defer func() { err = errors.Join(err, picture.Close()) }()
	}
	dir, program, again, err := stage.Workplace(mcctl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again(), os.RemoveAll(dir)) }()
	result, err := show(ctx, dir, program, profile)
	if result == nil {
		return err
	}
	fmt.Println()
	errTell := tell(os.Stdout, result)
	if picture != nil {
		errTell = errors.Join(errTell, result.SVG(picture))
	}
	if !result.Safe() {
		errTell = errors.Join(errTell, errLost)
	}
	return errors.Join(err, errTell)
}
