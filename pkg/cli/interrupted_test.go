package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// ctrlC is pressed a moment after a command has begun.
func ctrlC(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	return ctx
}

// hangs never answers a request of that kind.
func (s *supervisor) hangs(t *testing.T, kind string) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.on(kind, func(json.RawMessage) (any, error) { <-release; return nil, wire.ErrNotYet })
}

// Two minutes have not passed when a command is interrupted; what it was for goes on all the same.
func TestACommandThatIsInterruptedDoesNotSayThatItsTimeIsOver(t *testing.T) {
	s := newSupervisor(t, paired())
	startHung(t, s.mcdir)
	for _, kind := range []string{wire.KindDetach, wire.KindAttach, wire.KindStop} {
		s.hangs(t, kind)
		got := mcctl(ctrlC(t), kind, "-M", s.mcdir)
		got.wants(t, exitGoingOn, "mcctl: "+kind+": interrupted; it goes on\n", "hint: follow it: mcctl status --watch -M "+s.mcdir)
	}
	down := paired()
	down.Servers[0].Postgres, down.Servers[0].Why = "starting", "it starts"
	s.on(wire.KindStatus, func(json.RawMessage) (any, error) { return down, nil })
	var out, complaints bytes.Buffer
	o := &startOptions{superviseOptions: superviseOptions{Mcdir: s.mcdir}, Timeout: time.Minute}
	if err := startedBefore(ctrlC(t), testEnv(&out, &complaints), o, down); report(&complaints, err) != exitGoingOn ||
		!strings.HasPrefix(complaints.String(), "mcctl: start: interrupted; the start goes on\nhint: follow it: ") {
		t.Errorf("it says %q, status of %v", complaints.String(), err)
	}
}

// The arbiter was started in the background, and comes up.
func TestAnArbiterWhoseStartIsInterruptedComesUp(t *testing.T) {
	dir := newArbiterDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mcctl(ctx, "arbiter", "start", "-M", dir).wants(t, exitGoingOn, "mcctl: arbiter start: interrupted; the start goes on\n")
	await(t, "it runs", func() bool { return pidOf(t, watchOf, dir) != 0 && pidOf(t, arbiterOf, dir) != 0 })
}

func TestAnAttachThatIsInterrupted(t *testing.T) {
	st := paired()
	st.Local, st.Record.Mode, st.Servers[1].Role = "server2", pair.Alone, pair.Standby
	s := newSupervisor(t, st)
	o := &startOptions{superviseOptions: superviseOptions{Mcdir: s.mcdir}, Timeout: time.Minute}
	var out, complaints bytes.Buffer
	if status := report(&complaints, attachStandby(ctrlC(t), testEnv(&out, &complaints), o)); status != exitGoingOn {
		t.Errorf("status %d", status)
	}
	same(t, complaints.String(), `
mcctl: start: interrupted; the start goes on
hint: server2 is attached as soon as it is close: mcctl status --watch -M `+s.mcdir+`; why not yet: mcctl explain -M `+s.mcdir+`
`)
	complaints.Reset()
	o.Timeout = 200 * time.Millisecond
	if status := report(&complaints, attachStandby(t.Context(), testEnv(&out, &complaints), o)); status != exitGoingOn {
		t.Errorf("status %d", status)
	}
	if !strings.HasPrefix(complaints.String(), "mcctl: start: server2 is started, but not attached after 200ms; the start goes on\n") {
		t.Errorf("it says %q", complaints.String())
	}
}
