package postgres

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var errDeadline = context.DeadlineExceeded

func contextWith(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestWatchExit(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	ok(t, cmd.Start())
	exited, stop, err := WatchExit(cmd.Process.Pid)
	ok(t, err)
	defer stop()
	select {
	case <-exited:
		t.Fatal("ended before it was killed")
	case <-time.After(20 * time.Millisecond):
	}
	ok(t, cmd.Process.Kill())
	wait(t, exited, "a killed process, still a zombie")

	late, stopLate, err := WatchExit(cmd.Process.Pid)
	ok(t, err)
	wait(t, late, "a zombie")
	stopLate()
	_ = cmd.Wait()
	gone, stopGone, err := WatchExit(cmd.Process.Pid)
	ok(t, err)
	wait(t, gone, "a pid that is gone")
	stopGone()
}

func TestWatchExitStops(t *testing.T) {
	exited, stop, err := WatchExit(sleeper(t))
	ok(t, err)
	stop()
	stop()
	select {
	case <-exited:
		t.Error("a stopped watch told of an end that was not")
	default:
	}
}

func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(limit):
		t.Fatalf("not told: %s", what)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	in := &Instance{Bin: "/bin"}
	ctx, cancel := contextWith(50 * time.Millisecond)
	defer cancel()
	began := time.Now()
	// The grandchild keeps the pipe open: it must be ended, too.
	err := in.run(ctx, "", nil, "sh", "-c", "sleep 60; true")
	if err == nil || time.Since(began) > limit/2 {
		t.Errorf("run = %v after %v", err, time.Since(began))
	}
	var seen []string
	err = in.run(within(t), "/pass", func(l string) { seen = append(seen, l) }, "sh", "-c", `printf '1/2\r2/2\nfailed'; echo " $PGPASSFILE"; exit 3`)
	if err == nil || !strings.Contains(err.Error(), "failed /pass") || len(seen) != 3 {
		t.Errorf("run = %v, lines %q", err, seen)
	}
}
