package act

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/decide"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// lacking is a server that was copied and needs log to start that nobody has any more.
func lacking(t *testing.T) (*Hands, *primary) {
	t.Helper()
	h, p := besidePrimary(t)
	ok(t, h.Postgres.BaseBackup(within(t), h.copySource(), postgres.BackupOptions{}))
	ok(t, h.swap(false, false))
	segments, err := filepath.Glob(filepath.Join(h.Config.Server.DataDirectory, "pg_wal", "0*"))
	ok(t, err)
	for _, path := range segments {
		ok(t, os.Remove(path))
	}
	p.removeLog(t)
	return h, p
}

// removeLog has the primary remove all log but the newest.
func (p *primary) removeLog(t *testing.T) {
	t.Helper()
	sql(t, p.Instance, "select pg_drop_replication_slot(slot_name) from pg_replication_slots")
	for range 3 {
		sql(t, p.Instance, "select pg_logical_emit_message(true, 'a', 'b'); select pg_switch_wal(); checkpoint")
	}
}

// startInVain starts PostgreSQL, which asks for that log for ever.
func startInVain(t *testing.T, h *Hands) {
	t.Helper()
	bounded, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	fails(t, h.StartStandby(bounded), "deadline")
	look(h)
}

// The watcher has noted that it is in vain (board.Sight.Stranded).
func TestAStandbyThatCannotStartIsCopiedAnew(t *testing.T) {
	h, _ := lacking(t)
	startInVain(t, h)
	h.Board.Set(func(s *board.Sight) { s.Stranded = true })
	h.Config.Pair.Policy.Rejoin = []config.Rejoin{config.Rewind}
	pid, _ := h.Postgres.Postmaster()
	fails(t, h.Rejoin(within(t)), "server2 has removed log that this server needs to start", RebuildNotAllowed)
	if now, _ := h.Postgres.Postmaster(); now != pid {
		t.Error("it was stopped for a way that is not allowed")
	}
	h.Config.Pair.Policy.Rejoin = everyWay
	ok(t, h.Rejoin(within(t)))
	if h.Board.Read().Look.Receiver.Status != "streaming" {
		t.Error("it has come back, and does not stream")
	}
}

// copiedWhenAsked has an operator ask for a rebuild, and goes on with it as its plan says.
func copiedWhenAsked(t *testing.T, h *Hands, why string) {
	t.Helper()
	q := wire.RebuildRequest{Way: wire.WayAuto}
	plan, err := h.PlanRebuild(within(t), q)
	ok(t, err)
	if plan.Way != wire.WayCopy || !strings.Contains(plan.Why, why) {
		t.Fatalf("the plan is %+v", plan)
	}
	_, _, err = h.Rebuilds.Begin(plan, q, false)
	ok(t, err)
	ok(t, h.Rebuild(within(t)))
	if job, err := h.Rebuilds.Get(""); err != nil || job.Phase != wire.RebuildDone || job.Plan.Way != wire.WayCopy || job.Try != 1 {
		t.Errorf("it has gone another way: %+v, %v", job, err)
	}
	if h.Board.Read().Look.Receiver.Status != "streaming" {
		t.Error("it has come back, and does not stream")
	}
}

const noArchive, archive = "", "restore_command = 'false'"

// An operator is told to run mcctl rebuild where only an archive could bring that log. The
// watcher does not note it there: nothing is done by itself.
func TestAStandbyThatCannotStartIsCopiedWhenAsked(t *testing.T) {
	for _, line := range []string{noArchive, archive} {
		h, _ := lacking(t)
		appendTo(t, h.Config.Server.ConfigFile, line)
		startInVain(t, h)
		copiedWhenAsked(t, h, "server2 has removed log that this server needs to start")
	}
}

// What a plan says of a standby that is down is what is done.
func TestAStandbyWhoseNextLogHasGoneIsCopiedWhenAsked(t *testing.T) {
	for _, line := range []string{noArchive, archive} {
		h, p := besidePrimary(t)
		appendTo(t, h.Config.Server.ConfigFile, line)
		ok(t, h.StartStandby(within(t)))
		ok(t, h.stop(within(t), fastPatience))
		h.Look()
		p.removeLog(t)
		copiedWhenAsked(t, h, "server2 has removed the log that comes after")
	}
}

// restarting is a rebuild that an operator asked for, in the start of PostgreSQL, which asks
// for log that nobody has.
func restarting(t *testing.T, h *Hands) (cancel context.CancelCauseFunc, ended chan error) {
	t.Helper()
	if !h.Rebuilds.Running() {
		_, _, err := h.Rebuilds.Begin(wire.RebuildPlan{}, wire.RebuildRequest{Way: wire.WayAuto}, false)
		ok(t, err)
		ok(t, h.Rebuilds.Commit(wire.RebuildStarting))
		ok(t, h.Postgres.MarkStandby())
	}
	h.Board.Set(func(s *board.Sight) { s.Task = decide.TaskRebuild })
	ctx, cancel := context.WithCancelCause(within(t))
	ended = make(chan error, 1)
	go func() { ended <- h.Rebuild(ctx) }()
	eventually(t, "PostgreSQL starts", func() bool { look(h); s := h.Board.Read(); return s.PID != 0 && s.Starting })
	return cancel, ended
}

// It was cancelled and begun again for ever.
func TestARebuildWhoseStartIsInVainEnds(t *testing.T) {
	h, _ := lacking(t)
	cancel, ended := restarting(t, h)
	h.Board.Set(func(s *board.Sight) { s.Stranded = true })
	cancel(nil)
	fails(t, <-ended, "context canceled")
	if job, err := h.Rebuilds.Get(""); err != nil || job.Final || h.Board.Read().Task != decide.TaskRebuild {
		t.Errorf("at the end of the supervisor it does not stay for the next: %+v, %v", job, err)
	}
	cancel, ended = restarting(t, h)
	cancel(ErrStranded)
	fails(t, <-ended, "start: PostgreSQL waits for log that nobody has any more: server2 has removed it; ", "run mcctl rebuild again, on this server")
	if job, err := h.Rebuilds.Get(""); err != nil || job.Phase != wire.RebuildFailed || h.Board.Read().Task != decide.NoTask {
		t.Errorf("it goes on: %+v, %v", job, err)
	}
	copiedWhenAsked(t, h, "server2 has removed log that this server needs to start")
}

// Where there is an archive only an operator ends it.
func TestARebuildWhoseStartWaitsForAnArchiveIsGivenUp(t *testing.T) {
	h, _ := lacking(t)
	appendTo(t, h.Config.Server.ConfigFile, archive)
	_, ended := restarting(t, h)
	_, err := h.Rebuilds.GiveUp("")
	ok(t, err)
	fails(t, <-ended, errGivenUp.Error())
	if job, err := h.Rebuilds.Get(""); err != nil || job.Phase != wire.RebuildGivenUp || h.Board.Read().Task != decide.NoTask {
		t.Errorf("it was not given up: %+v, %v", job, err)
	}
	copiedWhenAsked(t, h, "server2 has removed log that this server needs to start")
}

// A copy that cannot start, as one that the site's program brought from an old backup, is not
// made again at once.
func TestACopyThatLacksLogIsInVain(t *testing.T) {
	for cause, want := range map[error]bool{ErrStranded: true, errGivenUp: false, nil: false} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if is := errors.Is(inVain(ctx, errPlanned, true), ErrInVain); is != want {
			t.Errorf("%v: in vain %t", cause, is)
		}
	}
}
