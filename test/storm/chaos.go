package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// operation is what is under way when the kill comes. For says the time within
// which the kill is drawn.
type operation struct {
	name  string
	lasts time.Duration
	args  func(s *storm, st wire.Status) [][]string // command lines, one after the other
	// unfinished: cut off, it leaves what an operator asked for and nobody else takes back, a
	// server that is held or stopped.
	unfinished bool
}

var operations = []operation{
	{"nothing", 200 * time.Millisecond, func(*storm, wire.Status) [][]string { return nil }, false},
	{"switch", 800 * time.Millisecond, func(s *storm, st wire.Status) [][]string {
		return [][]string{{"switch", "-M", s.lab.Mcdir(st.Record.Primary)}}
	}, false},
	{"detach, attach", 600 * time.Millisecond, func(s *storm, st wire.Status) [][]string {
		dir := s.lab.Mcdir(st.Record.Primary)
		return [][]string{{"detach", "-M", dir}, {"attach", "-M", dir}}
	}, true},
	{"stop, start", 1500 * time.Millisecond, func(s *storm, st wire.Status) [][]string {
		dir := s.lab.Mcdir(other(st.Record.Primary))
		return [][]string{{"stop", "-M", dir}, {"start", "-M", dir}}
	}, true},
	{"failover", 2500 * time.Millisecond, nil, false}, // begun by a kill of the primary's postmaster
}

// victim is a process of the lab, found when its time has come.
type victim struct {
	name string
	pid  func(lab.Pids, *running) int
}

var victims = []victim{
	{"supervisor1", func(p lab.Pids, _ *running) int { return p.Servers[lab.Server1].Supervisor }},
	{"supervisor2", func(p lab.Pids, _ *running) int { return p.Servers[lab.Server2].Supervisor }},
	{"witness", func(p lab.Pids, _ *running) int { return p.Witness }},
	{"postmaster1", func(p lab.Pids, _ *running) int { return p.Servers[lab.Server1].Postmaster }},
	{"postmaster2", func(p lab.Pids, _ *running) int { return p.Servers[lab.Server2].Postmaster }},
	{"walreceiver", func(p lab.Pids, _ *running) int {
		return max(p.Servers[lab.Server1].Walreceiver, p.Servers[lab.Server2].Walreceiver)
	}},
	{"walsender", func(p lab.Pids, _ *running) int {
		return max(p.Servers[lab.Server1].Walsender, p.Servers[lab.Server2].Walsender)
	}},
	{"cli", func(_ lab.Pids, r *running) int { return r.pid() }},
}

func other(s pair.Server) pair.Server {
	if s == lab.Server1 {
		return lab.Server2
	}
	return lab.Server1
}

// running is an operation under way.
type running struct {
	now    chan int // pid of the present command; 0 between two
	ended  chan struct{}
	failed chan error // what has not succeeded
}

// failure is one that has been until now.
func (r *running) failure() error {
	select {
	case err := <-r.failed:
		return err
	default:
		return nil
	}
}

func (r *running) pid() int {
	select {
	case pid := <-r.now:
		return pid
	case <-r.ended:
		return 0
	case <-time.After(100 * time.Millisecond):
		return 0
	}
}

// begin starts an operation and does not wait for it.
func (s *storm) begin(ctx context.Context, op operation) *running {
	r := &running{now: make(chan int), ended: make(chan struct{}), failed: make(chan error, 2)}
	st, err := s.status(ctx)
	if err != nil {
		r.failed <- err
		close(r.ended)
		return r
	}
	if op.args == nil {
		if pid := s.lab.Pids().Servers[st.Record.Primary].Postmaster; pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		close(r.ended)
		return r
	}
	go func() {
		defer close(r.ended)
		for _, args := range op.args(s, st) {
			if err := r.command(ctx, s.lab.Mcctl(), args); err != nil {
				r.failed <- err
			}
		}
	}()
	return r
}

// command runs one command line and offers its pid to whoever wants to kill it.
func (r *running) command(ctx context.Context, program string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case r.now <- cmd.Process.Pid:
		case err := <-done:
			if err != nil {
				err = fmt.Errorf("mcctl %v: %w: %s", args, err, said.Bytes())
			}
			return err
		}
	}
}

// kill draws victims until one is there. None may be: the operation has ended everything
// that could be drawn, or the next one begins.
func (s *storm) kill(r *running) (name string, pid int) {
	for _, n := range s.rnd.Perm(len(victims)) {
		if pid = victims[n].pid(s.lab.Pids(), r); pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			return victims[n].name, pid
		}
	}
	return "nobody", 0
}

// heal waits until the pair is well. What an operator has asked for and was cut off
// is the operator's to finish: a stopped server is started, a held one attached. All else
// mends itself.
func (s *storm) heal(ctx context.Context, op operation) error {
	var st wire.Status
	var err error
	well := 0 // looks in a row; the first ones may come before the fault is seen
	for began := time.Now(); time.Since(began) < s.patience; time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if st, err = s.status(ctx); err == nil && st.Healthy {
			if well++; well == 15 {
				return nil
			}
			continue
		}
		well = 0
		if !op.unfinished || time.Since(began) < time.Second {
			continue
		}
		if err == nil && st.Held {
			s.ask(ctx, "attach", "-M", s.lab.Mcdir(st.Record.Primary))
		}
		for server, p := range s.lab.Pids().Servers {
			if p.Watch == 0 {
				s.ask(ctx, "start", "-W", "-M", s.lab.Mcdir(server))
			}
		}
	}
	text, _ := json.Marshal(st)
	return fmt.Errorf("not paired again within %s: %s (last error: %v)", s.patience, text, err)
}

func (s *storm) ask(ctx context.Context, args ...string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, s.lab.Mcctl(), args...).CombinedOutput(); err != nil {
		s.say("     mcctl %v: %v: %s", args, err, out)
	}
}

func (s *storm) status(ctx context.Context) (st wire.Status, err error) {
	for _, of := range []pair.Server{lab.Server1, lab.Server2} {
		if st, err = s.lab.Ask(ctx, of); err == nil {
			return st, nil
		}
	}
	return st, err
}
