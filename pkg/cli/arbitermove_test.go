package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"mcctl/pkg/wire"
)

// A move goes on when its command is interrupted, and says so; nobody was lost.
func TestAMoveThatIsInterruptedGoesOn(t *testing.T) {
	s := newSupervisor(t, paired())
	release := make(chan struct{})
	defer close(release)
	s.on(wire.KindMove, func(json.RawMessage) (any, error) { <-release; return nil, nil })
	for _, c := range []struct {
		cause error
		says  string
	}{{nil, "interrupted; it goes on"}, {errTimeout, "not complete after 2m0s"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var out, complaints bytes.Buffer
		m := &moveFollower{env: testEnv(&out, &complaints), o: &moveOptions{Mcdir: s.mcdir, Timeout: 2 * time.Minute}, c: control{s.mcdir}, began: time.Now()}
		time.AfterFunc(100*time.Millisecond, func() { cancel(c.cause) })
		err := m.move(ctx, wire.MoveRequest{})
		if status := report(&complaints, err); status != exitGoingOn {
			t.Errorf("%v: status %d", c.cause, status)
		}
		shot{exitGoingOn, out.String(), complaints.String()}.wants(t, exitGoingOn, "arbiter move: "+c.says)
		if bytes.Contains(out.Bytes(), []byte("was lost")) {
			t.Errorf("nobody was lost:\n%s", out.String())
		}
	}
}

// A supervisor begins anew when its arbiter was moved: called again meanwhile the command waits.
func TestAMoveWaitsForASupervisorThatBeginsAnew(t *testing.T) {
	s := newSupervisor(t, paired())
	s.on(wire.KindMove, func(json.RawMessage) (any, error) { return wire.MoveAnswer{Done: true, To: "none"}, nil })
	m := &moveFollower{o: &moveOptions{Mcdir: s.mcdir}, c: control{s.mcdir}}
	s.stop()
	if err := m.ask(t.Context(), wire.MoveRequest{}); !errors.Is(err, errNotRunning) {
		t.Errorf("nobody keeps one running: %v", err)
	}
	s.startAgain(t)
	if err := m.ask(t.Context(), wire.MoveRequest{}); err != nil || !m.answer.Done {
		t.Errorf("it is there again: %v, %+v", err, m.answer)
	}
}
