package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// growing is an output that a test reads while it is being written.
type growing struct {
	mu   sync.Mutex
	text strings.Builder
}

func (g *growing) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func eventLine(n int) string {
	return fmt.Sprintf(`{"time":"2026-01-02T03:04:05.678Z","rule":%d,"action":"wait","facts":{"task":"none"},"text":"rule %[1]d"}`+"\n", n)
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	t.Setenv("TZ", "UTC")
	dir := newMcdir(t)
	mcctl(t.Context(), "events", "-M", dir).wants(t, exitDone, "no event yet")
	write(t, eventsOf(dir), eventLine(1)+"half a li\n"+eventLine(3)+`{"time":"2026`)
	got := mcctl(t.Context(), "events", "-n", "2", "-M", dir)
	got.wants(t, exitDone, "(cannot be read) half a li\n", "05.678  rule 3\n")
	if strings.Contains(got.stdout, "rule 1") || strings.Count(got.stdout, "\n") != 2 {
		t.Errorf("want the last two whole lines:\n%s", got)
	}
	same(t, mcctl(t.Context(), "events", "-n", "1", "-o", "json", "-M", dir).stdout, eventLine(3))
	torn := mcctl(t.Context(), "events", "-n", "3", "-o", "json", "-M", dir) // what reads it must not break off
	same(t, torn.stdout, eventLine(1)+eventLine(3))
	torn.wants(t, exitDone, "left out, as it cannot be read: half a li")
	same(t, mcctl(t.Context(), "events", "-n", "0", "-M", dir).stdout, "")
}

func TestEventsFollow(t *testing.T) {
	dir := newMcdir(t)
	var out growing
	env := testEnv(nil, nil)
	env.Stdout = &out
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- runEvents(ctx, env, &eventsOptions{Mcdir: dir, Output: formJSON, Last: 50, Follow: true})
	}()
	shows := func(n int) func() bool {
		return func() bool { return strings.HasSuffix(out.String(), eventLine(n)) }
	}
	add(t, eventsOf(dir), eventLine(1)) // the file did not exist yet
	await(t, "the first event is shown", shows(1))
	half := eventLine(2)
	add(t, eventsOf(dir), half[:20])
	add(t, eventsOf(dir), half[20:])
	await(t, "a line written in two pieces is shown", shows(2))
	if err := os.Rename(eventsOf(dir), eventsOf(dir)+".1"); err != nil {
		t.Fatal(err)
	}
	add(t, eventsOf(dir), eventLine(3))
	await(t, "the new file is read after rotation", shows(3))
	if err := os.Truncate(eventsOf(dir), 0); err != nil {
		t.Fatal(err)
	}
	add(t, eventsOf(dir), "")
	await(t, "the cut was noticed", func() bool { add(t, eventsOf(dir), eventLine(4)); return shows(4)() })
	add(t, eventsOf(dir), eventLine(5))
	if err := os.Rename(eventsOf(dir), eventsOf(dir)+".1"); err != nil {
		t.Fatal(err)
	}
	add(t, eventsOf(dir), eventLine(6))
	await(t, "what was written just before a rotation is shown, too", func() bool { return strings.HasSuffix(out.String(), eventLine(5)+eventLine(6)) })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
