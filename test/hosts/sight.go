package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// status asks a server's supervisor, by the socket on its disk.
func (w *world) status(ctx context.Context, name string) (st wire.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := wire.Dial(ctx, "unix", filepath.Join(w.hosts[name].disk(), "orders/run/control.sock"), nil)
	if err != nil {
		return st, err
	}
	defer conn.Close()
	return st, conn.Call(ctx, wire.KindStatus, nil, &st)
}

// paired: both supervisors say that all is well.
func (w *world) paired(ctx context.Context) error {
	for _, name := range []string{"a", "b"} {
		st, err := w.status(ctx, name)
		if err != nil {
			return fmt.Errorf("ask %s: %w", name, err)
		}
		if !st.Healthy {
			return fmt.Errorf("%s says: %s, %s; next step: %s", name, st.Record, st.Summary, st.NextStep)
		}
	}
	return nil
}

// someone finds a supervisor that says so.
func (w *world) someone(ctx context.Context, says func(wire.Status) bool) error {
	var heard []error
	for _, name := range []string{"a", "b"} {
		st, err := w.status(ctx, name)
		if err == nil && says(st) {
			return nil
		}
		heard = append(heard, fmt.Errorf("%s: %s %s: %w", name, st.Record, st.Summary, err))
	}
	return errors.Join(heard...)
}

// primary finds a server that is open as the primary by its own account.
func (w *world) primary(ctx context.Context, name string) error {
	st, err := w.status(ctx, name)
	if err != nil {
		return err
	}
	for _, s := range st.Servers {
		if string(s.Server) == name && s.Role == pair.Primary && s.Postgres == wire.ReportOpen {
			return nil
		}
	}
	return fmt.Errorf("%s says: %s, %+v", name, st.Record, st.Servers)
}

// process finds one process of a host by the part that it plays.
func (h *host) process(part string) (int, error) {
	for _, pid := range processes(h.group()) {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		line := strings.TrimRight(strings.ReplaceAll(string(raw), "\x00", " "), " ")
		if playsPart(line, part) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("host %s has no process %s", h.name, part)
}

func playsPart(line, part string) bool {
	switch part {
	case "supervisor":
		return strings.Contains(line, "mcctl start --foreground")
	case "arbiter":
		return strings.Contains(line, "mcctl arbiter start --foreground") || strings.Contains(line, "bin/etcd ")
	case "io-probe":
		return strings.Contains(line, "mcctl io-probe")
	case "postmaster":
		return strings.Contains(line, "/bin/postgres -D ")
	case "backend":
		return strings.HasPrefix(line, "postgres: ") && strings.Contains(line, " postgres 10.77.0.9(")
	}
	return strings.HasPrefix(line, "postgres: ") && strings.Contains(line, part) // walsender, walreceiver, checkpointer …
}

// postgres is the postmaster and all its children.
func (h *host) postgres() (pids []int) {
	if pid, err := h.process("postmaster"); err == nil {
		pids = append(pids, pid)
	}
	for _, pid := range processes(h.group()) {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasPrefix(string(raw), "postgres: ") {
			pids = append(pids, pid)
		}
	}
	return pids
}
