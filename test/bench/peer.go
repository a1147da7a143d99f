package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcctl/pkg/probe"
	"mcctl/test/bench/stage"
)

// peer is another tool with a pair of its own, reached through a driver: see
// peer/lib.bash for what a driver does.
type peer struct {
	name   string
	driver string
	dir    string
	base   int // of its ports
}

// A tool may need minutes to notice, to rewind or to be set up.
const (
	peerPatience  = 3 * time.Minute
	driverTimeout = 10 * time.Minute
)

// peerEvents are those that every tool can be put through alike.
func peerEvents() []string { return []string{"switch", "kill-postmaster", "kill-server"} }

// do runs the driver with one of its words and returns what it printed.
func (p *peer) do(ctx context.Context, word ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, driverTimeout)
	defer cancel()
	log, err := os.OpenFile(filepath.Join(p.dir, "driver.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, p.driver, word...)
	cmd.Env = []string{"DIR=" + p.dir, "BASE=" + strconv.Itoa(p.base), "PG_BIN=" + binDir(), "PATH=" + os.Getenv("PATH"), "USER=" + os.Getenv("USER")}
	cmd.Stdout, cmd.Stderr = &out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return "", fmt.Errorf("%s %s: %w: %s", p.name, strings.Join(word, " "), err, said[max(0, len(said)-400):])
	}
	return strings.TrimSpace(out.String()), nil
}

func (p *peer) uri() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write", p.base+1, p.base+2)
}

// try is what try of mcctl's trials is.
func (p *peer) try(ctx context.Context, event string) (sample, error) {
	if _, err := p.do(ctx, "heal"); err != nil {
		return sample{}, err
	}
	primary, err := p.do(ctx, "ready")
	if err != nil {
		return sample{}, err
	}
	writers, err := probe.Start(ctx, stage.Writers(p.uri()))
	if err != nil {
		return sample{}, err
	}
	err = p.play(ctx, writers, event, primary)
	result, errStop := writers.Stop()
	if err = errors.Join(err, errStop); err != nil {
		return sample{}, err
	}
	s := observed(result)
	gap, _ := result.Mark(markEvent)
	s.Values = map[string]float64{"gap_ms": millis(time.Duration(gap.Gap.Length))}
	return s, nil
}

func (p *peer) play(ctx context.Context, writers *probe.Probe, event, primary string) error {
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	if err := writers.WaitCalm(ctx, before); err != nil {
		return err
	}
	writers.Mark(markEvent)
	if _, err := p.do(ctx, event, primary); err != nil {
		return err
	}
	return writers.WaitCalm(ctx, after)
}

// freeBlock finds ten free ports in a row.
func freeBlock() (int, error) {
	for base := 26100; base < 32000; base += 10 {
		if slices.IndexFunc([]int{1, 2, 3, 4, 5, 6, 7}, func(n int) bool { return !free(base + n) }) < 0 {
			return base, nil
		}
	}
	return 0, fmt.Errorf("find ten free ports in a row from 26100: there are none")
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}
