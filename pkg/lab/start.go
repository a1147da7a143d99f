package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/shell"
)

// A pair that is not paired after this long will not become so by waiting.
const pairingTimeout = 2 * time.Minute

// start starts what does not run and waits until the pair is paired.
func (l *Lab) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pairingTimeout)
	defer cancel()
	if err := l.liftAll(); err != nil {
		return err
	}
	running := l.Pids()
	if l.has("witness") && running.Witness == 0 && running.WitnessWatch == 0 {
		l.say("starting the witness on %s", local(l.witnessPort()))
		if err := l.mcctl(ctx, "arbiter", "start", "-M", l.ArbiterDir()); err != nil {
			return err
		}
	}
	if err := l.startEtcd(ctx); err != nil {
		return err
	}
	for _, s := range servers() {
		if err := l.makeSocketDir(s); err != nil {
			return err
		}
		if running.Servers[s].Supervisor != 0 || running.Servers[s].Watch != 0 {
			continue // a watch alone is about to start its supervisor again
		}
		l.say("starting %s on %s", s, local(l.ClientPort(s)))
		if err := l.mcctl(ctx, "start", "-M", l.Mcdir(s)); err != nil {
			return err
		}
	}
	return l.waitPaired(ctx)
}

// waitPaired asks until the record says paired and all is well.
func (l *Lab) waitPaired(ctx context.Context) error {
	l.say("waiting until the pair is paired")
	for {
		st, err := l.Status(ctx)
		if err == nil && st.Record.Mode == pair.Paired && st.Healthy {
			l.say("%s", st.Record)
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait until paired: %w; last seen: %s; see mcctl status -M %s and %s",
				context.Cause(ctx), seen(st, err), shell.Word(l.Mcdir(Server1)), l.path("*", "mcdir", "log"))
		}
	}
}

func seen(st Status, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s, healthy: %t", st.Record, st.Healthy)
}

// mcctl runs one command of the mcctl program to its end. What it says goes to
// lab.log: a daemon keeps its output open, so a pipe would not come to an end.
func (l *Lab) mcctl(ctx context.Context, args ...string) error {
	log, err := os.OpenFile(l.path("lab.log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the lab's log: %w", err)
	}
	defer log.Close()
	if err := l.run.own(log.Name()); err != nil {
		return err
	}
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read the lab's log: %w", err)
	}
	cmd := l.run.command(ctx, l.Dir, l.state.Mcctl, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		said, errRead := io.ReadAll(io.NewSectionReader(log, from, 1<<20))
		return errors.Join(fmt.Errorf("run mcctl %s: %w%s", strings.Join(args, " "), err, lastLines(string(said), 8)), errRead)
	}
	return nil
}
