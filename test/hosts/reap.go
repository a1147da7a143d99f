package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// reap runs this program once more as its child, and is otherwise what process 1 has to
// be: it waits for whatever it inherits, until that child ends, and returns its exit status.
// A command inside a host that outlives its nsenter is an orphan here. Not waited for, it
// would keep the host from ever going off: process 1 of a namespace ends after all others in it.
func reap() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := startAndPassSignals(cmd); err != nil {
		fmt.Fprintln(os.Stderr, "test/hosts:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "test/hosts: wait:", err)
			return 1
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			fmt.Fprintln(os.Stderr, "test/hosts:", status.Signal())
			return 1
		}
	}
}

// startAndPassSignals starts a command and hands to it what this process is told.
func startAndPassSignals(cmd *exec.Cmd) error {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range caught {
			_ = cmd.Process.Signal(s)
		}
	}()
	return nil
}
