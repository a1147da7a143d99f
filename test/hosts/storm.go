package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// storm draws faults from a seed, one to three at a time, heals them and demands that
// the pair becomes whole. What it does is written down as a scenario, so that it can
// be played again.
type storm struct {
	*play
	rnd     *rand.Rand
	log     *os.File
	healing map[string]string // what each host needs to be well again; by host
	counts  map[string]int
	slowest time.Duration
}

// fault is what may be drawn: a line with the host in it as HOST, the other server as
// OTHER, and what heals it besides join all and lines for processes.
type fault struct {
	line string
	on   string // hosts to draw from
	heal string
}

func faults() []fault {
	return []fault{
		{"power off HOST", "abw", "boot"},
		{"freeze HOST", "abw", "thaw"},
		{"cut HOST", "abw", ""},
		{"cut HOST-OTHER", "a", ""},
		{"cut HOST>OTHER", "ab", ""},
		{"cut HOST-w", "ab", ""},
		{"cut HOST>w", "ab", ""},
		{"cut w>HOST", "ab", ""},
		{"cut HOST-OTHER replication", "a", ""},
		{"cut HOST-OTHER admin", "a", ""},
		{"slow 4mbit", "a", ""},
		{"lossy 15%", "a", ""},
		{"kill HOST supervisor", "ab", ""},
		{"kill HOST postmaster", "ab", ""},
		{"kill HOST backend", "ab", ""},
		{"kill HOST walsender", "ab", ""},
		{"kill HOST walreceiver", "ab", ""},
		{"kill HOST checkpointer", "ab", ""},
		{"kill w arbiter", "w", ""},
		{"stop process HOST supervisor", "ab", ""},
		{"stop process HOST postgres", "ab", "continue"},
		{"disk HOST hang", "abw", "disk thaw"},
		{"disk HOST full", "ab", "disk free"},
		{"disk HOST read-only", "ab", "power"},
		{"disk HOST error", "ab", "power"},
		{"restart HOST", "abw", ""},
		{"reboot HOST", "ab", ""},
		{"switch", "a", ""},
	}
}

// blow plays rounds until the time is over.
func (w *world) blow(ctx context.Context, seed uint64, length time.Duration, logFile string) (err error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	s := &storm{
		play: &play{w: w, file: &scenario{name: "storm"}, known: map[string]int{}},
		rnd:  rand.New(rand.NewPCG(seed, 0)), log: log, healing: map[string]string{}, counts: map[string]int{},
	}
	fmt.Fprintf(log, "# A storm with seed %d, arbiter %s, as it was played.\n", seed, w.arbiter)
	w.say("\n=== storm: seed %d, arbiter %s, for %s; what it does is written to %s", seed, w.arbiter, length, logFile)
	if err = s.begin(ctx); err == nil {
		err = s.rounds(ctx, length)
	}
	endErr := s.end()
	w.say("     %d rounds, slowest recovery %s, faults: %v", len(s.steps), s.slowest.Round(time.Millisecond), s.counts)
	if w.keepAll {
		err = errors.Join(err, w.keepLogs("storm"))
	}
	if err = errors.Join(err, endErr); err != nil {
		err = errors.Join(fmt.Errorf("storm with seed %d: %w; play it again: make hosts ARBITER=%s SCENARIO=%s", seed, err, w.arbiter, logFile), w.keepLogs("storm"))
	}
	return errors.Join(err, w.down())
}

func (s *storm) rounds(ctx context.Context, length time.Duration) error {
	for end := time.Now().Add(length); time.Now().Before(end); {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *storm) round(ctx context.Context) error {
	if err := s.must(ctx, fmt.Sprintf("step round %d", len(s.steps)+1)); err != nil {
		return err
	}
	for range 1 + s.rnd.IntN(3) {
		s.strike(ctx)
		// Short pauses hit the middle of what the fault before set off, long ones what comes after.
		longest := []time.Duration{300 * time.Millisecond, 2 * time.Second, 8 * time.Second}[s.rnd.IntN(3)]
		if err := s.must(ctx, fmt.Sprintf("pause %dms", s.rnd.Int64N(longest.Milliseconds()))); err != nil {
			return err
		}
	}
	return s.heal(ctx)
}

// strike draws a fault and a host that has none yet. One that cannot be done at this
// moment, such as the death of a process that is not there, is left out of the log.
func (s *storm) strike(ctx context.Context) {
	f := faults()[s.rnd.IntN(len(faults()))]
	name := string(f.on[s.rnd.IntN(len(f.on))])
	nobodyThere := !s.w.hasArbiterHost() && (name == "w" || strings.Contains(f.line, "w>") || strings.HasSuffix(f.line, "w"))
	if s.healing[name] != "" || nobodyThere {
		return
	}
	other := map[string]string{"a": "b", "b": "a"}[name]
	text := strings.NewReplacer("HOST", name, "OTHER", other).Replace(f.line)
	if err := s.do(ctx, text); err != nil {
		fmt.Fprintf(s.log, "# not done: %s: %s\n", text, strings.ReplaceAll(err.Error(), "\n", " "))
		if f.heal == "" {
			return
		}
	} else {
		s.counts[f.line]++
	}
	s.healing[name] = f.heal
}

// heal ends all faults and waits until the pair is whole.
func (s *storm) heal(ctx context.Context) error {
	began := time.Now()
	if err := s.must(ctx, "join all"); err != nil {
		return err
	}
	for _, name := range hostNames() {
		how := s.healing[name]
		delete(s.healing, name)
		if err := s.mend(ctx, name, how); err != nil {
			return err
		}
	}
	// How long it takes is printed at the end, and depends on what else the machine does.
	err := s.must(ctx, "wait until paired within 10m")
	s.slowest = max(s.slowest, time.Since(began))
	if err != nil {
		return err
	}
	return s.must(ctx, "wait until writes")
}

func (s *storm) mend(ctx context.Context, name, how string) error {
	switch how {
	case "":
		return nil
	case "boot", "thaw":
		return s.must(ctx, how+" "+name)
	case "disk thaw", "disk free":
		return s.must(ctx, "disk "+name+" "+strings.TrimPrefix(how, "disk "))
	case "power":
		return errors.Join(s.must(ctx, "power off "+name), s.must(ctx, "boot "+name))
	case "continue": // it may have been killed meanwhile
		if err := s.do(ctx, "continue process "+name+" postgres"); err != nil {
			fmt.Fprintf(s.log, "# not done: %v\n", err)
		}
	}
	return nil
}

// must is a line that has to succeed.
func (s *storm) must(ctx context.Context, text string) error {
	if err := s.do(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return ctx.Err()
}

// do plays one line and writes it down.
func (s *storm) do(ctx context.Context, text string) error {
	l := line{text: text, words: strings.Fields(text)}
	w, rest, err := meaning(l)
	if err != nil {
		return err
	}
	s.said = ""
	if err = w.do(s.play, ctx, rest); err != nil {
		return err
	}
	fmt.Fprintln(s.log, text)
	s.w.say("     %s%s", text, s.said)
	return nil
}
