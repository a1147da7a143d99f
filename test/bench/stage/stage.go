// Package stage is a lab with hands: commands to run on it, processes of it to
// kill and freeze, and a look at how both supervisors see the pair. It neither
// measures nor judges. The demonstration and the benchmarks call it.
package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
)

// Stage is a pair that runs, below a directory of its own.
type Stage struct {
	Lab *lab.Lab
}

// Up makes a lab called name below dir with the given timings profile and starts
// it. After an error nothing is left running.
func Up(ctx context.Context, dir, name, mcctl, profile string, out io.Writer) (*Stage, error) {
	home := filepath.Join(dir, name)
	l, err := lab.Up(ctx, lab.Options{Dir: home, BinDir: os.Getenv("PG_BIN"), Mcctl: mcctl, Profile: profile, Out: out})
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, afterwards(lab.Down(context.WithoutCancel(ctx), home, false)))
	}
	return &Stage{Lab: l}, nil
}

func afterwards(err error) string {
	if err == nil {
		return ""
	}
	return "; and then: " + err.Error()
}

// Down stops everything, frozen processes too, also when ctx has ended.
func (s *Stage) Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	return lab.Down(ctx, s.Lab.Dir, true)
}

// Writers says how the clients write: as a well-set pool would, which gives up
// soon on a host that does not answer.
func (s *Stage) Writers() probe.Options { return Writers(s.Lab.Env()["PGURI"]) }

// Writers are the same clients for whatever is measured, so that only the servers
// differ.
func Writers(uri string) probe.Options {
	return probe.Options{URI: uri, Writers: 4, Interval: 5 * time.Millisecond, ConnectTimeout: 300 * time.Millisecond}
}

// Other is the other server of the pair.
func Other(s pair.Server) pair.Server {
	if s == lab.Server1 {
		return lab.Server2
	}
	return lab.Server1
}

// Mcctl is the program to be shown or measured: MCCTL, or the one that was built
// beside the program that asks.
func Mcctl() string {
	if path := os.Getenv("MCCTL"); path != "" {
		return path
	}
	self, err := os.Executable()
	if err != nil {
		return "mcctl"
	}
	return filepath.Join(filepath.Dir(self), "mcctl")
}

// Interrupts are the signals that break a run off in good order. SIGPIPE is among
// them: whoever reads the output may leave, and the lab must not stay.
func Interrupts() []os.Signal {
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}
}
