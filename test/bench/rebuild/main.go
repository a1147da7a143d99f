// Command rebuild measures mcctl rebuild beside pg_basebackup by hand: the same
// primary, the same disk, in turns. It makes a pair in a new directory below /tmp
// and takes it down again. It fails when the whole rebuild is slower than promised.
// make bench-rebuild runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/wire"
	"mcctl/test/bench/stage"
)

func main() {
	megabytes := flag.Int("mb", 4000, "how much data the primary has, in MB")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	flag.Parse()
	ctx, stop := stage.Interruptible()
	defer stop()
	if err := run(ctx, *megabytes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench-rebuild:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, megabytes, rounds int) (err error) {
	dir, program, again, err := stage.Workplace(stage.Mcctl())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again(), os.RemoveAll(dir)) }()
	s, err := stage.Up(ctx, filepath.Join(dir, "lab"), program, "default", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Down(ctx)) }()
	if err := fill(ctx, s, megabytes); err != nil {
		return err
	}
	var raw, copied, whole, ratios []float64
	for round := range rounds + 1 {
		var r, c, w float64
		var bytes int64
		hand := func() (err error) { r, err = byHand(ctx, s, filepath.Join(dir, "raw")); return err }
		ours := func() (err error) { c, w, bytes, err = byRebuild(ctx, s); return err }
		order := []func() error{hand, ours}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, measure := range order {
			if err := errors.Join(settle(ctx, s), measure()); err != nil {
				return err
			}
		}
		note := ""
		if round == 0 {
			note = "  (not counted: the pages were not read before)"
		} else {
			raw, copied, whole, ratios = append(raw, r), append(copied, c), append(whole, w), append(ratios, r/w)
		}
		fmt.Printf("%4d MB  pg_basebackup %6.2f s   rebuild: copy %6.2f s, until it streams %6.2f s%s\n", bytes>>20, r, c, w, note)
	}
	fmt.Printf("median  pg_basebackup %6.2f s   rebuild: copy %6.2f s, until it streams %6.2f s\n", median(raw), median(copied), median(whole))
	fmt.Printf("throughput of the copy is %.3f of raw pg_basebackup, of the whole rebuild %.3f (%.3f-%.3f in its rounds)\n",
		median(raw)/median(copied), median(ratios), slices.Min(ratios), slices.Max(ratios))
	if median(ratios) < least {
		return fmt.Errorf("a rebuild must have %.2f of the throughput of pg_basebackup at least", least)
	}
	return nil
}

// least is what a rebuild must reach of the throughput of pg_basebackup by hand.
const least = 0.95

// settle waits until nothing of the measurement before is at work on the disk.
func settle(ctx context.Context, s *stage.Stage) error {
	for {
		if _, err := os.Lstat(s.Lab.Data(lab.Server2) + ".old"); errors.Is(err, os.ErrNotExist) {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	return exec.CommandContext(ctx, "sync").Run()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// fill makes pages with a single row each: many bytes to copy, little log.
func fill(ctx context.Context, s *stage.Stage, megabytes int) error {
	rows := megabytes << 20 / 8192
	sql := fmt.Sprintf("create table filler (g int, t text) with (fillfactor = 10); insert into filler select g, repeat('x', 700) from generate_series(1, %d) g; checkpoint", rows)
	cmd := exec.CommandContext(ctx, filepath.Join(s.Lab.BinDir(), "psql"), "-Xq", "-h", filepath.Join(s.Lab.Dir, string(lab.Server1), "run"),
		"-p", strconv.Itoa(s.Lab.ClientPort(lab.Server1)), "-U", "postgres", "-d", "postgres", "-c", sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fill the primary: %w: %s", err, out)
	}
	return nil
}

// byHand copies the primary as an operator would, with the options that mcctl uses.
func byHand(ctx context.Context, s *stage.Stage, dir string) (seconds float64, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source := fmt.Sprintf("host=127.0.0.1 port=%d user=mcctl_replication dbname=postgres passfile=%s", s.Lab.ClientPort(lab.Server1), filepath.Join(s.Lab.Mcdir(lab.Server2), "pgpass"))
	began := time.Now()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Lab.BinDir(), "pg_basebackup"), "--pgdata="+dir, "--dbname="+source, "--wal-method=stream", "--checkpoint=fast", "--progress", "--no-password")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("copy by hand: %w: %s", err, out)
	}
	return time.Since(began).Seconds(), nil
}

// byRebuild measures from the supervisor's own account of the job.
func byRebuild(ctx context.Context, s *stage.Stage) (copied, whole float64, bytes int64, err error) {
	out, err := s.Run(ctx, lab.Server2, "rebuild", "--way", "copy", "--yes", "-o", "json")
	if err != nil {
		return 0, 0, 0, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var end struct{ Job wire.RebuildJob }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
		return 0, 0, 0, fmt.Errorf("read the rebuild's end: %w", err)
	}
	at := map[string]float64{}
	for _, step := range end.Job.Steps {
		at[step.Phase] = step.AtMS / 1000
	}
	return at[wire.RebuildSwapping] - at[wire.RebuildCopying], at[wire.RebuildDone], end.Job.Done, nil
}
