package hook

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// served is a runner whose commands are being run, and what became of each call.
func served(t *testing.T, commands map[Kind]Command) (*Runner, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var ended []string
	r := NewRunner(commands, slog.New(slog.DiscardHandler), func(c Call, out Outcome) {
		mu.Lock()
		defer mu.Unlock()
		ended = append(ended, fmt.Sprintf("%s %s %d dropped %d", c.Command, c.Text, out.Exit, c.Dropped))
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for kind := range commands {
		wg.Go(func() { _ = r.Serve(ctx, kind) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), ended...)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func TestOneOfAKindAtATime(t *testing.T) {
	busy := filepath.Join(t.TempDir(), "busy")
	r, ended := served(t, map[Kind]Command{Event: script(t, "mkdir "+busy+" || exit 9; sleep 0.02; rmdir "+busy)})
	call := someCall(t, Event)
	for i := range 10 {
		call.Text = fmt.Sprint(i)
		r.Post(call)
	}
	eventually(t, "all have run", func() bool { return len(ended()) == 10 })
	for i, got := range ended() {
		if want := fmt.Sprintf("event %d 0 dropped 0", i); got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
	}
}

// A kind that hangs holds up no other kind, and nobody who posts.
func TestFullQueueDrops(t *testing.T) {
	release := filepath.Join(t.TempDir(), "release")
	begun := release + ".begun"
	hang := script(t, "touch "+begun+"; until [ -e "+release+" ]; do sleep 0.01; done")
	r, ended := served(t, map[Kind]Command{Event: hang, PostSwitch: script(t, "exit 0")})
	call := someCall(t, Event)
	r.Post(call)
	eventually(t, "the first one runs", func() bool { _, err := os.Stat(begun); return err == nil }) // and waits no more
	began := time.Now()
	for range queueMax + 20 {
		r.Post(call)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("posting took %s", took)
	}
	if out := r.Do(t.Context(), call); out.OK() || !strings.Contains(out.String(), "too many calls wait") {
		t.Errorf("one more: %v", out)
	}
	if out := r.Do(t.Context(), someCall(t, PostSwitch)); !out.OK() {
		t.Errorf("another kind: %v", out)
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what waited has run", func() bool { return len(ended()) > queueMax })
	told := 0
	for _, line := range ended() {
		if !strings.HasSuffix(line, "dropped 0") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d calls were told what was dropped, want 1", told)
	}
}

func TestDoWaitsNoLongerThanItsContext(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	release := filepath.Join(t.TempDir(), "release")
	r, ended := served(t, map[Kind]Command{Fencing: script(t, "echo x >>"+mark+"; until [ -e "+release+" ]; do sleep 0.01; done")})
	r.Post(someCall(t, Fencing))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if out := r.Do(ctx, someCall(t, Fencing)); out.OK() {
		t.Errorf("nobody waited for the outcome, yet it is %v", out)
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := r.Do(t.Context(), someCall(t, Fencing)); !out.OK() {
		t.Errorf("the next one: %v", out)
	}
	if text, _ := os.ReadFile(mark); string(text) != "x\nx\n" {
		t.Errorf("a call that nobody waited for was run in its turn: %q, %q", text, ended())
	}
}

func TestWithoutACommand(t *testing.T) {
	r, _ := served(t, nil)
	r.Post(someCall(t, Event))
	if out := r.Do(t.Context(), someCall(t, Fencing)); !out.OK() || r.Has(Fencing) {
		t.Errorf("no command is configured: %v", out)
	}
}
