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

// loseRecords takes all records from a witness, and leaves it running until it is healed.
const loseRecords = "run HOST rm -rf MCDIR/records; sync"

// furnishing gives the pair a tablespace that clients write to.
const furnishing = `run a psql -X -c "create tablespace space location '/var/lib/space/space'" -c "alter table registers set tablespace space" postgres`

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
		{"disk HOST slow", "ab", ""},
		{"disk HOST leave 1%", "ab", "disk free"},
		{"disk HOST log hang", "ab", "disk log thaw"},
		{"disk HOST log full", "ab", "disk log free"},
		{"disk HOST log read-only", "ab", "power"},
		{"disk HOST log error", "ab", "power"},
		{"disk HOST space hang", "ab", "disk space thaw"},
		{"disk HOST space full", "ab", "disk space free"},
		{"disk HOST space read-only", "ab", "power"},
		{"disk HOST space error", "ab", "power"},
		{"memory HOST exhausted", "ab", ""},
		{"processes HOST exhausted", "ab", "processes free"},
		{"descriptors HOST exhausted", "ab", "descriptors free"},
		{"clock HOST +5h", "abw", "clock +0h"},
		{"clock HOST -7h", "abw", "clock +0h"},
		{loseRecords, "w", "power"},
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
		play: newPlay(w, &scenario{name: "storm", apart: true, clocks: true}),
		rnd:  rand.New(rand.NewPCG(seed, 0)), log: log, healing: map[string]string{}, counts: map[string]int{},
	}
	fmt.Fprintf(log, "# A storm with seed %d, arbiter %s, as it was played.\ndisks apart\nclocks apart\n", seed, w.arbiter)
	w.say("\n=== storm: seed %d, arbiter %s, for %s; what it does is written to %s", seed, w.arbiter, length, logFile)
	if err = s.begin(ctx); err == nil {
		err = s.rounds(ctx, length)
	}
	endErr := s.end()
	w.say("     %d rounds, slowest recovery %s, faults: %v", len(s.steps), s.slowest.Round(time.Millisecond), s.counts)
	name := fmt.Sprintf("storm-%d", seed)
	if w.keepAll {
		err = errors.Join(err, w.keepLogs(name))
	}
	if err = errors.Join(err, endErr); err != nil {
		err = errors.Join(fmt.Errorf("storm with seed %d: %w; play it again: make hosts ARBITER=%s SCENARIO=%s", seed, err, w.arbiter, logFile), w.keepLogs(name))
	}
	return errors.Join(err, w.down())
}

func (s *storm) rounds(ctx context.Context, length time.Duration) error {
	if err := s.must(ctx, furnishing); err != nil {
		return err
	}
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
	if s.healing[name] != "" || nobodyThere || f.line == loseRecords && s.w.arbiter != "witness" {
		return
	}
	other := map[string]string{"a": "b", "b": "a"}[name]
	text := strings.NewReplacer("HOST", name, "OTHER", other).Replace(f.line)
	if s.may(ctx, text) {
		s.counts[f.line]++
	} else if f.heal == "" {
		return
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
	case "power":
		return errors.Join(s.must(ctx, "power off "+name), s.must(ctx, "boot "+name))
	case "continue": // it may have been killed meanwhile
		s.may(ctx, "continue process "+name+" postgres")
		return nil
	case "descriptors free", // a supervisor that was started since has them
		"disk thaw", "disk log thaw", "disk space thaw": // so has a host that was fenced its disks
		s.may(ctx, healing(name, how))
		return nil
	}
	return s.must(ctx, healing(name, how))
}

// healing is the line that mends what has no way of its own above: "disk log thaw" of a
// host is "disk HOST log thaw".
func healing(name, how string) string {
	word, rest, _ := strings.Cut(how, " ")
	return strings.TrimSpace(word + " " + name + " " + rest)
}

// may is a line that may come too late.
func (s *storm) may(ctx context.Context, text string) (done bool) {
	err := s.do(ctx, text)
	if err != nil {
		fmt.Fprintf(s.log, "# not done: %s: %s\n", text, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return err == nil
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
