package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// script is a command of the site.
func script(t *testing.T, text string) Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return Command{Path: path, Timeout: time.Minute}
}

func someCall(t *testing.T, kind Kind) Call {
	return Call{
		Command: kind, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Mcdir: t.TempDir(), Pair: "orders",
		Server: "server1", Role: pair.Primary, Target: "server2", Mode: ByMonitor, Operation: OpSwitch, Action: "promote", Text: "promote done",
		Record: record.Record{Pair: "orders", Term: 7, Primary: "server1", Mode: pair.Alone, Revision: 21},
	}
}

func run(t *testing.T, cmd Command) (Outcome, []string) {
	t.Helper()
	var lines []string
	out := Run(t.Context(), cmd, someCall(t, Fencing), func(line string) { lines = append(lines, line) })
	return out, lines
}

// gone waits until no process of the group is left: a killed one may be seen for a
// moment until its parent has reaped it.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 1 {
		t.Fatalf("%q is not a process", pid)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil || strings.Contains(string(text), ") Z ") {
			return // its parent has gone too, and who inherits it may be slow
		}
		if time.Now().After(end) {
			t.Fatalf("process %d is still there: %s", n, text)
		}
	}
}

// Mirroring Controller's order of arguments.
func TestArgs(t *testing.T) {
	for kind, want := range map[Kind]string{
		Fencing:     "monitor switch server1 server2 primarycenter",
		Arbitration: "server1 server2 primarycenter",
		PostSwitch:  "server1 primarycenter",
		PreDetach:   "server1 primary server2 primarycenter",
		PostAttach:  "server1 primary server2 primarycenter",
		Event:       "server1 promote promote done",
	} {
		cmd := script(t, `echo "$*"`)
		var lines []string
		out := Run(t.Context(), cmd, someCall(t, kind), func(line string) { lines = append(lines, line) })
		if got := strings.Join(lines, "\n"); got != want || !out.OK() {
			t.Errorf("%s got %q, %v; want %q", kind, got, out, want)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for status := range 256 {
		if status > 8 && status < 250 {
			continue
		}
		out, _ := run(t, script(t, fmt.Sprintf("exit %d", status)))
		if out.Exit != status || out.OK() != (status == 0) || out.Err != nil || out.TimedOut {
			t.Errorf("exit %d: %+v", status, out)
		}
	}
	out, _ := run(t, script(t, "kill -9 $$"))
	if out.OK() || out.Exit != -1 || out.Signal != syscall.SIGKILL || !strings.Contains(out.String(), "ended by signal 9 (killed)") {
		t.Errorf("killed by itself: %s, %+v", out, out)
	}
}

func TestFactsOnStandardInput(t *testing.T) {
	out, lines := run(t, script(t, "cat"))
	var got map[string]any
	if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &got); err != nil || !out.OK() {
		t.Fatalf("%q: %v, %v", lines, err, out)
	}
	for key, want := range map[string]any{
		"command": "fencing", "time": "2026-01-02T03:04:05Z", "pair": "orders", "server": "server1", "role": "primary",
		"target": "server2", "execution_mode": "monitor", "operation": "switch",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if r, _ := got["record"].(map[string]any); r["term"] != 7.0 || r["mode"] != "alone" {
		t.Errorf("record: %v", got["record"])
	}
}

// However much there is to read, a command that reads none of it is held up by
// nothing and holds up nobody.
func TestStandardInputNotRead(t *testing.T) {
	call := someCall(t, Event)
	call.Event, _ = json.Marshal(strings.Repeat("x", 4<<20))
	for _, text := range []string{"exit 0", "exec <&-; exit 0", "head -c 1 >/dev/null"} {
		if out := Run(t.Context(), script(t, text), call, func(string) {}); !out.OK() {
			t.Errorf("%s: %v", text, out)
		}
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	for name, value := range map[string]string{"NOTIFY_SOCKET": "/run/x", "PGPASSWORD": "secret", "LISTEN_FDS": "1", "HOME": "/somewhere", "LANG": ""} {
		t.Setenv(name, value)
	}
	_, lines := run(t, script(t, "exec env"))
	var names []string
	for _, line := range lines {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	want := "HOME LANG MCCTL_COMMAND MCCTL_EXECUTION_MODE MCCTL_MCDIR MCCTL_MODE MCCTL_OPERATION MCCTL_PAIR MCCTL_PRIMARY MCCTL_ROLE MCCTL_SERVER MCCTL_TARGET MCCTL_TERM PATH"
	if got := strings.Join(slices.DeleteFunc(names, func(n string) bool { return n == "PWD" || n == "_" || n == "SHLVL" }), " "); got != want {
		t.Errorf("the environment has\n%s, want\n%s", got, want)
	}
	for _, line := range []string{"HOME=/somewhere", "LANG=C.UTF-8", "MCCTL_TERM=7", "MCCTL_PRIMARY=server1", "MCCTL_MODE=alone"} {
		if !slices.Contains(lines, line) {
			t.Errorf("no %s in %q", line, lines)
		}
	}
}

// What this process has open stays here, also what was opened without
// close-on-exec, as by whoever started it.
func TestNothingIsInherited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open")
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	listening := -1
	if err := raw.Control(func(fd uintptr) { listening, _ = syscall.Dup(int(fd)) }); err != nil || listening < 0 {
		t.Fatal(err, listening)
	}
	defer func() { _ = syscall.Close(listening) }()
	_, lines := run(t, script(t, `ls -l /proc/$$/fd; echo "session $(cut -d' ' -f6 /proc/$$/stat) of $$"`))
	all := strings.Join(lines, "\n")
	if strings.Contains(all, path) || strings.Contains(all, "socket:") || !strings.Contains(all, "/memfd:facts") {
		t.Errorf("descriptors of the command:\n%s", all)
	}
	if f := strings.Fields(lines[len(lines)-1]); f[1] != f[3] {
		t.Errorf("it has no session of its own: %s", lines[len(lines)-1])
	}
}

// inTime runs a command that its timeout ends. Where it did not do what it should, the
// machine may have held it up, and it gets more time.
func inTime(t *testing.T, cmd *Command, met func(Outcome, []string) bool) (out Outcome, lines []string) {
	t.Helper()
	for _, cmd.Timeout = range []time.Duration{300 * time.Millisecond, 3 * time.Second, 10 * time.Second} {
		if out, lines = run(t, *cmd); met(out, lines) {
			break
		}
	}
	return out, lines
}

func TestHangingCommandIsEnded(t *testing.T) {
	cmd := script(t, "echo $$; sleep 1000 & echo $!; sleep 1000")
	out, lines := inTime(t, &cmd, func(out Outcome, lines []string) bool { return out.Signal == syscall.SIGTERM && len(lines) == 2 })
	if !out.TimedOut || out.OK() || out.Signal != syscall.SIGTERM || !strings.Contains(out.String(), "timed out and was killed after") {
		t.Errorf("%s: %+v", out, out)
	}
	if out.Took < cmd.Timeout {
		t.Errorf("it had only %s", out.Took)
	}
	for _, pid := range lines {
		gone(t, pid)
	}
}

func TestCommandThatIgnoresSIGTERM(t *testing.T) {
	cmd := script(t, "echo $$; trap 'echo asked' TERM; while :; do sleep 0.05; done")
	out, lines := inTime(t, &cmd, func(_ Outcome, lines []string) bool { return slices.Contains(lines, "asked") })
	if !slices.Contains(lines, "asked") {
		t.Fatalf("it was not asked first: %q, %+v", lines, out)
	}
	if !out.TimedOut || out.Signal != syscall.SIGKILL || out.Took < cmd.Timeout+Grace {
		t.Errorf("%s: %+v", out, out)
	}
	gone(t, lines[0])
}

// What a command leaves in the background ends with it.
func TestChildrenEndWithTheCommand(t *testing.T) {
	out, lines := run(t, script(t, "for i in 1 2 3; do (trap '' TERM; sleep 1000) & echo $!; done; exit 3"))
	if out.Exit != 3 || out.TimedOut || out.Took > 20*time.Second {
		t.Errorf("%s: %+v", out, out)
	}
	if len(lines) != 3 {
		t.Fatalf("children: %q", lines)
	}
	for _, pid := range lines {
		gone(t, pid)
	}
}

// A child that made a session of its own lives on, as it wanted; that it holds the
// output open keeps nobody waiting.
func TestChildThatLeftTheSession(t *testing.T) {
	out, lines := run(t, script(t, "setsid sh -c 'echo $$; touch left; exec sleep 1000' & until [ -e left ]; do sleep 0.01; done; exit 0"))
	if !out.OK() || out.Took > 30*time.Second || len(lines) != 1 {
		t.Fatalf("%q, %s: %+v", lines, out, out)
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("it has not lived on: %v", err)
	}
}

// A command that floods is slowed down and costs next to nothing.
func TestFloodCostsLittle(t *testing.T) {
	for _, text := range []string{"exec yes", "exec cat /dev/zero"} {
		cmd := script(t, text)
		cmd.Timeout = 2 * time.Second
		before := cpu(t)
		out, lines := run(t, cmd)
		spent := cpu(t) - before
		if !out.TimedOut {
			t.Errorf("%s: %v", text, out)
		}
		if len(lines) > linesMax+1 || slices.ContainsFunc(lines, func(l string) bool { return len(l) > lineMax }) {
			t.Errorf("%s: %d lines", text, len(lines))
		}
		if text == "exec yes" && !strings.HasSuffix(lines[len(lines)-1], "more lines are left out)") {
			t.Errorf("what was left out is not told: %q", lines[len(lines)-1])
		}
		t.Logf("%s: %d lines, %s of processor time", text, len(lines), spent)
		if spent > out.Took/2 {
			t.Errorf("%s: %s of processor time in %s", text, spent, out.Took)
		}
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestOutputLines(t *testing.T) {
	_, lines := run(t, script(t, `printf 'one\r\n\ntwo\377\n'; echo three >&2; printf 'no newline'`))
	if got := strings.Join(lines, "|"); got != "one|two?|three|no newline" {
		t.Errorf("lines %q", got)
	}
}

// The end of the supervisor is the end of its commands.
func TestEndOfContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	out := Run(ctx, script(t, "exec sleep 1000"), someCall(t, PostSwitch), func(string) {})
	if out.OK() || out.TimedOut || out.Err == nil || out.Signal != syscall.SIGTERM {
		t.Errorf("%s: %+v", out, out)
	}
}
