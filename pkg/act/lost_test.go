package act

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/config"
	"mcctl/pkg/lost"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// crashedWithATail leaves server1 crashed with one committed transaction beyond the
// point at which server2 took over.
func crashedWithATail(t *testing.T) (h *Hands, at standing, told *[]lost.Report) {
	t.Helper()
	h, _ = newHands(t, theirs(pair.Alone))
	pid := started(t, h)
	session, err := h.Postgres.Connect(within(t))
	ok(t, err)
	seen, err := session.Look(within(t), "server2")
	ok(t, err)
	session.Close()
	commit, err := h.Postgres.StartCanary(within(t)) // it is a transaction like any other
	ok(t, err)
	ok(t, commit.Finish(within(t)))
	ok(t, h.Postgres.Kill(pid))
	eventually(t, "the postmaster has gone", func() bool { look(h); return h.Board.Read().PID == 0 })
	ok(t, h.Postgres.KillLeftovers())
	at = h.standing("")
	h.readFiles(&at)
	at.history = wire.HistoryAnswer{
		Record: theirs(pair.Alone), SystemID: at.control.SystemID, Timeline: 2, Insert: seen.Insert + 0x1000,
		Forks: []wire.Fork{{Timeline: 1, LSN: seen.Insert}},
	}
	told = &[]lost.Report{}
	h.Discarded = func(r lost.Report) { *told = append(*told, r) }
	return h, at, told
}

// Needs pg_waldump.
func TestWhatIsDiscardedIsReportedOnce(t *testing.T) {
	h, at, told := crashedWithATail(t)
	data := h.Config.Server.DataDirectory
	before := snapshot(t, data)
	for range 2 { // as after a rewind that failed at once, or kill -9
		ok(t, h.reportLost(within(t), way{name: wire.WayRewind}, at))
	}
	all, err := h.Lost().List()
	ok(t, err)
	if len(all) != 1 || all[0].Transactions != 1 || !all[0].Complete || all[0].Acknowledged != lost.Never || len(all[0].Segments) == 0 || all[0].From != at.history.Forks[0].LSN {
		t.Fatalf("the reports are %+v", all)
	}
	if len(*told) != 2 || (*told)[0].ID != all[0].ID || (*told)[1].ID != all[0].ID || h.Board.Read().Discarded != all[0].Line() {
		t.Errorf("told: %+v; on the board: %s", *told, h.Board.Read().Discarded)
	}
	if after := snapshot(t, data); len(after) != len(before) {
		t.Error("the data directory has changed")
	}
	// Half rewound, it is not looked at again: what is there now is not what was.
	at.broken = true
	ok(t, os.RemoveAll(all[0].Directory))
	ok(t, h.reportLost(within(t), way{name: wire.WayCopy}, at))
	if all, _ := h.Lost().List(); len(all) != 0 {
		t.Errorf("reported of a directory that is half rewound: %+v", all)
	}
}

func TestAForcedReignMayHaveCostAcknowledgedCommits(t *testing.T) {
	h, at, told := crashedWithATail(t)
	at.history.Record.Forced = true
	ok(t, h.reportLost(within(t), way{name: wire.WayRewind}, at))
	if len(*told) != 1 || (*told)[0].Acknowledged != lost.Maybe {
		t.Errorf("told: %+v", *told)
	}
	// What PostgreSQL itself has removed is not counted, and that is said.
	at.history.Forks[0].LSN = 0x28
	ok(t, h.reportLost(within(t), way{name: wire.WayRewind}, at))
	if r := (*told)[len(*told)-1]; r.Complete || !strings.HasPrefix(r.Note, "PostgreSQL has removed the log from 0/28 to ") || strings.Contains(r.Note, "to its end") && r.Known {
		t.Errorf("of log of which a part has gone it is told: %+v", r)
	}
}

// Needs pg_waldump.
func TestAReportThatCannotBeWrittenHoldsUpOnlyWhoRequiresIt(t *testing.T) {
	h, at, told := crashedWithATail(t)
	ok(t, os.WriteFile(h.Config.Path("lost"), nil, 0o600)) // where the directory shall be
	ok(t, h.reportLost(within(t), way{name: wire.WayRewind}, at))
	if len(*told) != 1 || !strings.Contains((*told)[0].Line(), "1 transaction of server1 discarded") || !strings.Contains((*told)[0].Line(), "could not be written") {
		t.Errorf("told: %+v", *told)
	}
	h.Config.Pair.Policy.LostWAL = config.RequireLost
	err := h.reportLost(within(t), way{name: wire.WayRewind}, at)
	fails(t, err, "nothing is discarded before it was saved", "policy.lost_wal")
	ok(t, os.Remove(h.Config.Path("lost")))
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if err := h.reportLost(ctx, way{name: wire.WayRewind}, at); err == nil {
		t.Error("cut off, it goes on to the rewind")
	}
	if left, _ := filepath.Glob(h.Config.Path("lost", "*")); len(left) != 0 {
		t.Errorf("cut off, it left %q", left)
	}
}

// Log is not discarded unseen because pg_control, which recovery would need, is gone.
// Needs pg_waldump.
func TestLogIsReportedOnWithoutAControlFile(t *testing.T) {
	h, at, told := crashedWithATail(t)
	h.Config.Pair.Policy.LostWAL = config.RequireLost
	ok(t, os.Truncate(filepath.Join(h.Config.Server.DataDirectory, "global", "pg_control"), 0))
	history := at.history
	at = h.standing("")
	h.readFiles(&at)
	at.history = history
	w, err := at.choose()
	ok(t, err)
	ok(t, h.reportLost(within(t), w, at))
	if len(*told) != 1 || (*told)[0].Transactions != 1 || (*told)[0].Acknowledged != lost.Maybe || !strings.Contains((*told)[0].Why, "pg_control") || len((*told)[0].Segments) == 0 {
		t.Errorf("told: %+v", *told)
	}
	ok(t, os.RemoveAll(filepath.Join(h.Config.Server.DataDirectory, "pg_wal")))
	fails(t, h.reportLost(within(t), w, at), "nothing is discarded before it was looked at")
}
