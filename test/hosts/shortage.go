package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Faults that take from a host what it needs.

func (p *play) disk(_ context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	name, fault := "main", rest[1:]
	if fault[0] == "log" || fault[0] == "space" {
		name, fault = fault[0], fault[1:]
	}
	d, err := h.diskNamed(name)
	switch {
	case err != nil:
		return err
	case len(fault) == 2 && fault[0] == "leave":
		return d.leave(fault[1])
	case len(fault) != 1:
		return errors.New("want disk HOST [log|space] FAULT")
	}
	return h.diskFault(d, fault[0])
}

// crash ends mcctl and PostgreSQL at once, and they are not started again before start
// HOST. The host itself answers.
func (p *play) crash(ctx context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	if err := h.restarts(ctx, false); err != nil {
		return err
	}
	supervisor, err := h.process("supervisor")
	if err != nil {
		return err
	}
	// The supervisor first: it would still tell of a postmaster that died before it.
	for _, pid := range append([]int{supervisor}, h.postgres()...) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one may end meanwhile
	}
	return nil
}

// restarts tells systemd whether to start the unit again when it has ended.
func (h *host) restarts(ctx context.Context, again bool) error {
	change := "printf '[Service]\\nRestart=no\\n' >$d/held.conf"
	if again {
		change = "rm -f $d/held.conf"
	}
	_, err := h.run(ctx, "root", "sh", "-ec", "d=/run/systemd/system/"+h.unit()+".d; mkdir -p $d; "+change+"; systemctl daemon-reload")
	return err
}

// processes lets the host start no process more than it has.
func (p *play) processes(_ context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	if rest[1] != "exhausted" && rest[1] != "free" {
		return fmt.Errorf("processes %q: want exhausted or free", rest[1])
	}
	return h.limitProcesses(rest[1] == "exhausted")
}

func (h *host) limitProcesses(limit bool) error {
	for _, g := range h.w.groups {
		dir := filepath.Join(g, h.w.name, h.name)
		now, err := os.ReadFile(filepath.Join(dir, "pids.current"))
		if err != nil {
			continue
		}
		value := "max"
		if limit {
			value = strings.TrimSpace(string(now))
		}
		return os.WriteFile(filepath.Join(dir, "pids.max"), []byte(value), 0)
	}
	return errors.New("the kernel has no pids controller")
}

// descriptors lets the supervisor open nothing more, or as much as before.
func (p *play) descriptors(ctx context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	limit, known := map[string]int{"exhausted": 3, "free": 1024}[rest[1]]
	if !known {
		return fmt.Errorf("descriptors %q: want exhausted or free", rest[1])
	}
	// Only the same user may set the limit of another process.
	_, err = h.run(ctx, "postgres", "bash", "-ec", "prlimit --pid $(pgrep -o -f 'mcctl start --foreground') --nofile="+strconv.Itoa(limit)+":")
	return err
}
