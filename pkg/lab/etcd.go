package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// etcdMembers is how many a lab's etcd has: one may die.
const etcdMembers = 3

func (l *Lab) etcdClient(i int) string { return "http://" + local(l.state.Port+etcdOffset+i) }

func (l *Lab) etcdPeer(i int) string {
	return "http://" + local(l.state.Port+etcdOffset+etcdMembers+i)
}

func (l *Lab) etcdDir(i int) string { return l.path("etcd", fmt.Sprintf("member%d", i+1)) }

// startEtcd starts the members that do not run.
func (l *Lab) startEtcd(ctx context.Context) error {
	for i, pid := range l.Pids().Etcd {
		if pid != 0 {
			continue
		}
		if err := l.StartEtcdMember(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// StartEtcdMember starts one member, in a session of its own: it outlives us.
func (l *Lab) StartEtcdMember(ctx context.Context, i int) error {
	l.say("starting member %d of etcd on %s", i+1, l.etcdClient(i))
	program, err := exec.LookPath("etcd")
	if err != nil {
		return fmt.Errorf("find etcd: %w; install it (Debian's package is etcd-server)", err)
	}
	var all []string
	for j := range etcdMembers {
		all = append(all, fmt.Sprintf("member%d=%s", j+1, l.etcdPeer(j)))
	}
	log, err := os.OpenFile(l.path("etcd", "etcd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open etcd's log: %w", err)
	}
	defer log.Close()
	if err := l.run.own(log.Name()); err != nil {
		return err
	}
	cmd := l.run.command(context.WithoutCancel(ctx), l.Dir, program,
		"--name", fmt.Sprintf("member%d", i+1), "--data-dir", l.etcdDir(i), "--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", l.etcdClient(i), "--advertise-client-urls", l.etcdClient(i),
		"--listen-peer-urls", l.etcdPeer(i), "--initial-advertise-peer-urls", l.etcdPeer(i),
		"--initial-cluster", strings.Join(all, ","))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	go func() { _ = cmd.Wait() }() // a child that has died must not stay a zombie
	return nil
}

// etcdMember is which member of the lab's etcd a process is, or -1.
func (l *Lab) etcdMember(p process) int {
	if len(p.args) == 0 || filepath.Base(p.args[0]) != "etcd" {
		return -1
	}
	for i := range etcdMembers {
		if slices.Contains(p.args, l.etcdDir(i)) {
			return i
		}
	}
	return -1
}

func (l *Lab) etcdPids(all []process) []int {
	if !l.has("etcd") {
		return nil
	}
	pids := make([]int, etcdMembers)
	for _, p := range all {
		if i := l.etcdMember(p); i >= 0 {
			pids[i] = p.pid
		}
	}
	return pids
}

func (l *Lab) endEtcd(ctx context.Context) error {
	running := func() []int { return l.etcdPids(processes()) }
	if endAll(ctx, running, syscall.SIGTERM, termTimeout) == nil {
		return nil
	}
	return endAll(ctx, running, syscall.SIGKILL, killTimeout)
}
