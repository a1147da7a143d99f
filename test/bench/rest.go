package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mcctl/pkg/pair"
	"mcctl/test/bench/stage"
)

// restTime is how long a pair without clients is watched.
const restTime = 30 * time.Second

// once measures what can be known without a pair: the size of the program as it
// would be packaged.
func (b *bench) once(ctx context.Context) error {
	if !b.wanted(atRest) || !lacks(b.have, ours, "", "size", 1) {
		return nil
	}
	dir, err := os.MkdirTemp("", "mcsize")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "mcctl")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", file, "mcctl/cmd/mcctl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build a stripped mcctl: %w: %s; run it in the checkout", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	s := sample{At: time.Now(), Values: map[string]float64{"stripped_mb": float64(info.Size()) / 1e6}}
	return b.note(ctx, ours, "", "size", s, nil)
}

// rest watches a healthy pair that nobody uses.
func (b *bench) rest(ctx context.Context, profile string) error {
	if !b.wanted(atRest) || !lacks(b.have, ours, profile, atRest, 1) {
		return nil
	}
	s, err := b.watch(ctx)
	return b.note(ctx, ours, profile, atRest, s, err)
}

func (b *bench) watch(ctx context.Context) (sample, error) {
	st, err := b.stage.Await(ctx, 0)
	if err != nil {
		return sample{}, err
	}
	if err := stage.Pause(ctx, 2*time.Second); err != nil { // the last trial's commotion
		return sample{}, err
	}
	s := sample{At: time.Now(), Values: map[string]float64{}}
	roles := map[string]pair.Server{"primary": st.Record.Primary, "standby": stage.Other(st.Record.Primary)}
	groups := b.groups(roles)
	cpu, statements := map[string]time.Duration{}, map[string]float64{}
	for name, pids := range groups {
		cpu[name] = cpuOf(pids)
	}
	for role, server := range roles {
		if statements[role], err = transactions(ctx, b.stage.Direct(server)); err != nil {
			return s, err
		}
	}
	if err := stage.Pause(ctx, restTime); err != nil {
		return s, err
	}
	took := time.Since(s.At)
	for role, server := range roles {
		n, err := transactions(ctx, b.stage.Direct(server))
		if err != nil {
			return s, err
		}
		s.Values["statements_"+role+"_per_s"] = (n - statements[role] - 1) / took.Seconds() // one was our own
	}
	for name, pids := range groups {
		s.Values[name+"_cpu_percent"] = 100 * (cpuOf(pids) - cpu[name]).Seconds() / took.Seconds()
		s.Values[name+"_rss_mb"] = memoryOf(pids, "status", "VmRSS:")
		s.Values[name+"_pss_mb"] = memoryOf(pids, "smaps_rollup", "Pss:")
	}
	return s, nil
}

// groups are the processes that are summed up: of a server the supervisor alone and
// all of mcctl, which is its watch and the child that probes the disk besides.
func (b *bench) groups(roles map[string]pair.Server) map[string][]int {
	pids := b.stage.Lab.Pids()
	groups := map[string][]int{"witness": {pids.Witness}, "witness_all": {pids.Witness, pids.WitnessWatch}}
	for role, server := range roles {
		p := pids.Servers[server]
		groups[role+"_supervisor"] = []int{p.Supervisor}
		groups[role+"_all"] = stage.Below(p.Postmaster, p.Watch, p.Supervisor)
	}
	return groups
}

// transactions is how many a server has finished since its statistics began. A
// statement outside a transaction block is one.
func transactions(ctx context.Context, uri string) (float64, error) {
	conn, err := pgconn.Connect(ctx, uri)
	if err != nil {
		return 0, fmt.Errorf("count statements: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	res, err := conn.Exec(ctx, "select sum(xact_commit + xact_rollback) from pg_stat_database").ReadAll()
	if err != nil {
		return 0, fmt.Errorf("count statements: %w", err)
	}
	return strconv.ParseFloat(string(res[0].Rows[0][0]), 64)
}
