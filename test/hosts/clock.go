package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Hosts share a kernel and its wall clock. Where a scenario has the line clocks apart,
// mcctl is built so that its wall clock is off by what a file of the host says
// (test/hosts/clockprogram), and PostgreSQL runs on libfaketime, which reads the same
// from another file. What both take for monotonic time is the kernel's.

const (
	fakeTimePlace = "/usr/local/lib/libfaketime.so.1"
	mcctlOffset   = "/etc/clock-offset"
	fakeOffset    = "/etc/clock-offset-faketime"
)

// fakeTime is where this machine has the library; "" if nowhere.
func fakeTime() string {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// program is the mcctl that hosts run.
func (w *world) program() string {
	if w.clocks {
		return w.mcctl + "-clock"
	}
	return w.mcctl
}

// layOutClock makes the clock of a host that has not run yet.
func (h *host) layOutClock() error {
	if !h.w.clocks {
		return nil
	}
	if fakeTime() == "" {
		return errors.New("libfaketime is missing; run: sudo apt-get install -y faketime")
	}
	if _, err := os.Stat(h.w.program()); err != nil {
		return fmt.Errorf("find mcctl with a clock of its own: %w; build it by: test/hosts/clockprogram %s", err, h.w.program())
	}
	dir := filepath.Join(h.dir(), "upper/etc/systemd/system", h.unit()+".d")
	env := fmt.Sprintf("[Service]\nEnvironment=LD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1\n", fakeTimePlace, fakeOffset)
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "clock.conf"), []byte(env), 0o644),
		os.WriteFile(filepath.Join(h.dir(), "upper", mcctlOffset), []byte("+0\n"), 0o644),
		os.WriteFile(filepath.Join(h.dir(), "upper", fakeOffset), []byte("+0\n"), 0o644),
	)
}

// clock sets the wall clock of a host off by so much from the machine's.
func (p *play) clock(_ context.Context, rest []string) error {
	h, err := p.host(rest[0])
	if err != nil {
		return err
	}
	off, err := time.ParseDuration(rest[1])
	if err != nil {
		return err
	}
	if !p.w.clocks {
		return errors.New("the scenario needs the line clocks apart")
	}
	for _, file := range []string{mcctlOffset, fakeOffset} {
		path := filepath.Join(h.merged(), file)
		if err := os.WriteFile(path+".new", fmt.Appendf(nil, "%+d\n", int64(off.Seconds())), 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}
