package act

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

func TestStopSaysGoodbyeFirst(t *testing.T) {
	silence := func(ctx context.Context, _ string, _ any) (any, error) { <-ctx.Done(); return nil, wire.ErrNoAnswer }
	for _, c := range []struct {
		name    string
		standby bool
		answer  func(context.Context, string, any) (any, error)
		kind    string
		left    postgres.State
	}{
		{"a primary rests", false, nil, wire.KindResting, postgres.ShutDown},
		{"a standby asks for its release", true, nil, wire.KindRelease, postgres.ShutDownInRecovery},
		{"nobody answers", false, silence, wire.KindResting, postgres.ShutDown},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := copyOf(3, 8, pair.Paired)
			if c.standby {
				r = theirs(pair.Paired)
			}
			h, other := newHands(t, r)
			h.Config.Pair.Timings.HeartbeatTimeout = config.Duration{Duration: 20 * time.Millisecond}
			if c.standby {
				ok(t, h.Postgres.MarkStandby())
			}
			started(t, h)
			other.answer = func(ctx context.Context, kind string, request any) (any, error) {
				if _, running := h.Postgres.Postmaster(); !running {
					t.Error("told after PostgreSQL has stopped")
				}
				if c.answer == nil {
					return nil, nil
				}
				return c.answer(ctx, kind, request)
			}
			ok(t, h.Stop(within(t)))
			if got := control(t, h).State; got != c.left || !slices.Equal(other.asked, []string{c.kind}) {
				t.Errorf("left %s, asked %q; want %s, %q", got, other.asked, c.left, c.kind)
			}
			look(h)
			other.answer = c.answer
			ok(t, h.Stop(within(t))) // also one that is down says what it is at
			if !slices.Equal(other.asked, []string{c.kind, c.kind}) {
				t.Errorf("asked %q", other.asked)
			}
		})
	}
}

func TestAStandbyOfALonePrimaryHasNothingToWaitFor(t *testing.T) {
	h := &Hands{Config: &config.Config{Pair: config.Defaults().Pair}}
	s := h.Config.Pair.Timings
	for _, c := range []struct {
		kind string
		mode pair.Mode
		want time.Duration
	}{
		{wire.KindRelease, pair.Alone, s.HeartbeatInterval.Duration},
		{wire.KindRelease, pair.Paired, 2 * s.HeartbeatTimeout.Duration},
		{wire.KindResting, pair.Alone, 2 * s.HeartbeatTimeout.Duration},
	} {
		if got := h.goodbyePatience(c.kind, sightOf(theirs(c.mode))); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.kind, c.mode, got, c.want)
		}
	}
}

// What is retired is rewound, and keeps the log for that; what is closed may be opened again.
func TestHowAServerThatMustNotStayOpenIsStopped(t *testing.T) {
	for do, left := range map[decide.Action]postgres.State{decide.Retire: postgres.InProduction, decide.Close: postgres.ShutDown} {
		h, _ := newHands(t, theirs(pair.Alone))
		started(t, h)
		ok(t, h.Do(within(t), do))
		if _, running := h.Postgres.Postmaster(); running || control(t, h).State != left {
			t.Errorf("%s left it running %v, %s; want %s", do, running, control(t, h).State, left)
		}
	}
}

// As after a switch whose supervisor has been started anew meanwhile.
func TestAServerThatHasShutDownMayArchiveItsLastLog(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	s := h.Config.Server
	appendTo(t, s.ConfigFile, "archive_mode = on\narchive_command = 'sleep 0.5'")
	pid := started(t, h)
	exited := make(chan error, 1)
	go func() { exited <- h.Postgres.Stop(within(t), pid, postgres.Fast) }()
	eventually(t, "its checkpoint is written", func() bool { return control(t, h).State == postgres.ShutDown })
	ok(t, h.Retire(within(t)))
	ok(t, <-exited)
	if done, err := filepath.Glob(filepath.Join(s.DataDirectory, "pg_wal", "archive_status", "*.done")); err != nil || len(done) == 0 {
		t.Errorf("archived %v, %v", done, err)
	}
}

func TestAFrozenServerIsStoppedHarderAndHarder(t *testing.T) {
	h, _ := newHands(t, theirs(pair.Alone))
	pid := started(t, h)
	freeze(t, pid)
	ctx, cancel := context.WithTimeoutCause(within(t), 30*time.Millisecond, errPlanned)
	defer cancel()
	fails(t, h.stop(ctx, time.Minute), "stop PostgreSQL", errPlanned.Error())
	if now, running := h.Postgres.Postmaster(); !running || now != pid {
		t.Fatal("a stop that was called off has killed it")
	}
	ok(t, h.stop(within(t), 10*time.Millisecond))
	eventually(t, "it has gone", func() bool { _, running := h.Postgres.Postmaster(); return !running })
}

func TestRestartEndsAFrozenServerAtOnce(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Alone))
	pid := started(t, h)
	exited, forget, err := postgres.WatchExit(pid) // as the watcher that leads to a start does
	ok(t, err)
	defer forget()
	freeze(t, pid)
	ok(t, h.Restart(within(t)))
	select {
	case <-exited:
	case <-within(t).Done():
		t.Fatal("it does not go")
	}
	ok(t, h.StartOpen(within(t))) // also while the old backends are still going
	ok(t, client(t, h))
}
