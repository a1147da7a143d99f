package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// await polls until what is true, or fails the test.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited 10 s until %s", what)
		}
	}
}

func pidIn(path string) int {
	text, _ := os.ReadFile(path)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

type pipe struct{ bytes.Buffer }

func (*pipe) Close() error { return nil }

func TestWatchStartsAgainUntilItEndsWell(t *testing.T) {
	dir := newMcdir(t)
	var log bytes.Buffer
	starter := &pipe{}
	w := watcher{program: "/bin/sh", log: &log, starter: starter}
	first := fmt.Sprintf("echo $$ >%s/first; exec sleep 60", dir)
	again := fmt.Sprintf("echo again >>%[1]s/again; [ $(wc -l <%[1]s/again) -ge 3 ] || exit 7", dir)
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- w.run(t.Context(), []string{"-c", first}, []string{"-c", again}) }()
	await(t, "the first child runs", func() bool { return pidIn(dir+"/first") != 0 })
	if err := syscall.Kill(pidIn(dir+"/first"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	if took, least := time.Since(began), (100+200+400)*time.Millisecond; took < least {
		t.Errorf("three restarts took %s, less than their rests %s", took, least)
	}
	for _, text := range []string{"signal: killed; starting it again in 100ms", "exit status 7; starting it again in 200ms", "again in 400ms"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("no %q in the log:\n%s", text, log.String())
		}
	}
	if got := starter.String(); got != "signal: killed\n" {
		t.Errorf("the starter was told %q", got)
	}
}

// A watch that is told to end tells its child, and waits for it.
func TestWatchEndsWithItsChild(t *testing.T) {
	dir := newMcdir(t)
	ctx, cancel := context.WithCancel(t.Context())
	w := watcher{program: "/bin/sh", log: io.Discard}
	child := fmt.Sprintf("trap 'echo ended >%[1]s/ended; exit 0' TERM; echo $$ >%[1]s/pid; while :; do sleep 0.02; done", dir)
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, []string{"-c", child}, []string{"-c", "exit 1"}) }()
	await(t, "the child runs", func() bool { return pidIn(dir+"/pid") != 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/ended"); err != nil {
		t.Errorf("the child was not told: %v", err)
	}
}

func TestPidfile(t *testing.T) {
	path := filepath.Join(newMcdir(t), "run", "x.pid")
	find := func(path string) (int, error) { return holder(path, path) }
	if pid := pidOf(t, find, path); pid != 0 {
		t.Errorf("nobody holds it, yet %d", pid)
	}
	release, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if pid := pidOf(t, find, path); pid != os.Getpid() {
		t.Errorf("held by %d, want %d", pid, os.Getpid())
	}
	if _, err := claim(path); err == nil {
		t.Error("claimed twice")
	}
	write(t, path, "1\n") // another program's pid: never to be killed
	if pid := pidOf(t, find, path); pid != 0 {
		t.Errorf("process %d was taken for ours", pid)
	}
	release()
	release, err = claim(path)
	if err != nil {
		t.Fatalf("claim after release: %v", err)
	}
	release()
}
