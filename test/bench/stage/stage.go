// Package stage is a lab with hands: commands to run on it, processes of it to
// kill and freeze, and a look at how both supervisors see the pair. It neither
// measures nor judges. The demonstration and the benchmarks call it.
package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
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

// Up makes a lab in dir with the given timings profile and lines of
// postgresql.conf, and starts it. After an error nothing is left running.
func Up(ctx context.Context, dir, mcctl, profile string, settings map[string]string) (*Stage, error) {
	l, err := lab.Up(ctx, lab.Options{Dir: dir, BinDir: os.Getenv("PG_BIN"), Mcctl: mcctl, Profile: profile, Settings: settings})
	if err != nil {
		return nil, errors.Join(err, lab.Down(context.WithoutCancel(ctx), dir, false))
	}
	return &Stage{Lab: l}, nil
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

// Direct is how a client connects to one server, whatever its role.
func (s *Stage) Direct(server pair.Server) string {
	return fmt.Sprintf("postgresql://app@127.0.0.1:%d/app?connect_timeout=1&passfile=%s",
		s.Lab.ClientPort(server), filepath.Join(s.Lab.Dir, "pgpass"))
}

// Writers are the same clients for whatever is measured, so that only the servers
// differ.
func Writers(uri string) probe.Options {
	return probe.Options{URI: uri, Writers: 4, Interval: 5 * time.Millisecond, ConnectTimeout: 300 * time.Millisecond, OpTimeout: 500 * time.Millisecond}
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

// Interruptible is a context that ends when a run is to be broken off in good order. Whoever
// reads the output may leave. SIGPIPE must not end the process then, since its lab would
// stay; nor does it break the run off: a write to a connection that PostgreSQL has left
// raises it too (os/signal, "SIGPIPE").
func Interruptible() (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
