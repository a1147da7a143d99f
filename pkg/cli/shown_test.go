package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// hostile is what a client may call itself, or its query: it sets the title of a terminal,
// clears it, goes back in the line, and turns around what follows.
const hostile = "a\x1b]0;t\a\x1b[2J\rb\u009b1m\x7f\u202ec"

const hostileShown = `a\x1b]0;t\x07\x1b[2J\x0db\u009b1m\u007f\u202ec`

// What a client of PostgreSQL has written does nothing to the terminal of who looks at it,
// and is no line of its own; programs get it as it is.
func TestForeignTextDoesNotSteerTheTerminal(t *testing.T) {
	s := newSupervisor(t, wire.Status{})
	asked := check.Preview{
		From: "server1", To: "server2",
		InTheWay: &postgres.InTheWay{
			Transactions: []postgres.Activity{{PID: 7, User: hostile, State: "active", Query: hostile}},
			Prepared:     []postgres.Prepared{{GID: "gid\nblocker: none\there\v", Age: 3, Owner: "o", Database: "d"}},
			Blocked:      []postgres.Blocked{{Activity: postgres.Activity{PID: 8, Query: hostile}, By: []int{7}}},
		},
	}
	s.on(wire.KindPreview, func(json.RawMessage) (any, error) { return asked, nil })
	got := mcctl(t.Context(), "switch", "--dry-run", "-M", s.mcdir)
	same(t, got.stdout, fmt.Sprintf(`
CHECK  STATE  VALUE  WANTED

cut off would be 0 sessions, with 0 open transactions

PID  AGE  USER%[2]s  DATABASE  STATE   QUERY
7    -    %[1]s            active  %[1]s

PREPARED                      AGE  OWNER  DATABASE
gid\nblocker: none\there\x0b  3 s  o      d

7 holds up
  8 waits since -: %[1]s

a switch from server1 to server2 would be made; clients could not write for about 0 ms ()
`, hostileShown, strings.Repeat(" ", len(hostileShown)-len("USER"))))

	var told check.Preview
	raw := mcctl(t.Context(), "switch", "--dry-run", "-o", "json", "-M", s.mcdir).stdout
	if err := json.Unmarshal([]byte(raw), &told); err != nil || told.InTheWay.Transactions[0].Query != hostile {
		t.Errorf("%v: a program is told %+v", err, told.InTheWay)
	}
	harmless(t, raw)
}

func TestForeignTextInMessagesAndEvents(t *testing.T) {
	s := newSupervisor(t, wire.Status{Pair: "orders", Warnings: []string{hostile}})
	status := mcctl(t.Context(), "status", "-M", s.mcdir)
	status.wants(t, exitDone, "warning  "+hostileShown)
	s.on(wire.KindExplain, func(json.RawMessage) (any, error) { return nil, errors.New(hostile + "\nin two lines") })
	for _, got := range []shot{mcctl(t.Context(), "explain", "-M", s.mcdir), called(t.Context(), "mc_ctl", "enable-failover", "-M", s.mcdir)} {
		harmless(t, got.stdout+got.stderr)
	}
	mcctl(t.Context(), "explain", "-M", s.mcdir).wants(t, exitFailed, hostileShown+"\nin two lines")

	line, err := json.Marshal(event{Text: hostile})
	if err != nil {
		t.Fatal(err)
	}
	write(t, eventsOf(s.mcdir), string(line)+"\nno \x1bevent\n")
	got := mcctl(t.Context(), "events", "-M", s.mcdir)
	got.wants(t, exitDone, "  "+hostileShown+"\n", `(cannot be read) no \x1bevent`)
	harmless(t, got.stdout)
	var told event
	if err := json.Unmarshal([]byte(mcctl(t.Context(), "events", "-n", "2", "-o", "json", "-M", s.mcdir).stdout), &told); err != nil || told.Text != hostile {
		t.Errorf("%v: a program is told %q", err, told.Text)
	}
}

// What mcctl does to a terminal of its own accord it still does.
func TestTheScreenIsClearedAllTheSame(t *testing.T) {
	var out bytes.Buffer
	w := forPeople(&out)
	_, _ = fmt.Fprint(w, "tab\tand é end\n")
	_, _ = fmt.Fprint(itself(w), "\x1b[2J")
	same(t, out.String(), "tab\tand é end\n\x1b[2J")
	s := newSupervisor(t, paired())
	var screen, complaints bytes.Buffer
	env := testEnv(&screen, &complaints)
	env.Terminal = true
	moment, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if status := Main(moment, env, []string{"status", "--watch=10ms", "-M", s.mcdir}); status != 0 || strings.Count(screen.String(), "\x1b[H\x1b[2J") < 2 {
		t.Errorf("a watch ended with %d and shows\n%q", status, screen.String())
	}
}

// harmless is text that has nothing for a terminal but letters, tabs and ends of lines.
func harmless(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsFunc(text, steers) || strings.ContainsAny(text, "\r\v\f") {
		t.Errorf("it steers the terminal: %q", text)
	}
}
