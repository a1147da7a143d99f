package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pgbench is the load that keeps the pool dirty.
type pgbench struct {
	options
	bin, dir string
}

func (p pgbench) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p pgbench) run(ctx context.Context, name string, args ...string) (string, error) {
	var out, problem bytes.Buffer
	cmd := p.program(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(problem.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

func (p pgbench) fill(ctx context.Context, uri string) error {
	if _, err := p.run(ctx, "psql", "-XAtq", "-d", uri, "-c", "create extension pg_buffercache"); err != nil {
		return err
	}
	_, err := p.run(ctx, "pgbench", "-i", "-q", "-s", strconv.Itoa(p.scale), uri)
	return err
}

// begin lets pgbench write for the warm-up and go on. It returns how much of the
// pool is dirty then.
func (p pgbench) begin(ctx context.Context, uri string) (dirty int64, stop func(), err error) {
	bench := p.program(ctx, "pgbench", "-n", "-c", strconv.Itoa(p.clients), "-j", "2", "-T", "600", uri)
	if err := bench.Start(); err != nil {
		return 0, nil, fmt.Errorf("start pgbench: %w", err)
	}
	stop = func() {
		_ = bench.Process.Kill() // its connections ended with the switch, and so has it
		_ = bench.Wait()
	}
	select {
	case <-time.After(p.warmup):
	case <-ctx.Done():
		stop()
		return 0, nil, ctx.Err()
	}
	err = p.spread(ctx, uri)
	if err == nil {
		dirty, err = p.dirtied(ctx, uri)
	}
	if err != nil {
		stop()
		return 0, nil, err
	}
	return dirty, stop, nil
}

// spread makes pages with a single row each: many dirty buffers, little log. What a slow
// machine's pgbench dirties would be no large pool.
func (p pgbench) spread(ctx context.Context, uri string) error {
	_, err := p.run(ctx, "psql", "-XAtq", "-d", uri, "-c", "drop table if exists spread", "-c", "create table spread (g int, t text) with (fillfactor = 10)",
		"-c", fmt.Sprintf("insert into spread select g, repeat('x', 700) from generate_series(1, %d) g", p.options.dirty<<20/8192))
	return err
}

// dirtied is how many bytes of the pool have to be written by the next checkpoint.
func (p pgbench) dirtied(ctx context.Context, uri string) (int64, error) {
	out, err := p.run(ctx, "psql", "-XAtq", "-d", uri, "-c", "select count(*) * 8192 from pg_buffercache where isdirty")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(out, 10, 64)
}
