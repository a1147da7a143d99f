package act

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcctl/pkg/board"
	"mcctl/pkg/lost"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
	"mcctl/pkg/wire"
)

// primary is a real server2, of the same cluster, and what its supervisor answers of it.
type primary struct {
	*postgres.Instance
	mu sync.Mutex
	// says changes what is told of its holdings, asked is called when its history is told.
	says  func(*wire.HoldingsAnswer)
	asked func()
}

// besidePrimary are the hands of server1 with a running server2, which is alone. Both
// stand at the same position.
func besidePrimary(t *testing.T) (*Hands, *primary) {
	t.Helper()
	h, other := newHands(t, theirs(pair.Alone))
	h.Look = func() { lookInside(h) }
	appendTo(t, h.Config.Server.ConfigFile, "wal_retrieve_retry_interval = 100ms\nwal_keep_size = 16MB") // its log is there to be looked at
	dir, err := os.MkdirTemp(root(), "mc")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := newConfig(t, dir)
	_, port, err := net.SplitHostPort(h.Config.Endpoint("server2").Replication)
	ok(t, err)
	c.Server.Postgres.Port, err = strconv.Atoi(port)
	ok(t, err)
	p := &primary{Instance: newServer(t, dir, c)}
	appendTo(t, c.Server.ConfigFile, "max_wal_size = 32MB") // a copy needs room for as much
	p.start(t)
	other.answer = p.answer
	return h, p
}

func appendTo(t *testing.T, path, line string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte(content(t, path)+line+"\n"), 0o600))
}

// lookInside notes what a watcher sees, the state of the stream included.
func lookInside(h *Hands) {
	look(h)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var seen postgres.Look
	if session, err := h.Postgres.Connect(ctx); err == nil {
		defer session.Close()
		seen, _ = session.Look(ctx, "server2")
	}
	h.Board.Set(func(s *board.Sight) { s.Saw(seen, wire.Now()) })
}

func (p *primary) start(t *testing.T) {
	t.Helper()
	_, err := p.Start(postgres.StartOptions{})
	ok(t, err)
	ok(t, p.WaitReady(within(t)))
}

func (p *primary) stop(t *testing.T) {
	t.Helper()
	pid, _ := p.Postmaster()
	ok(t, p.Stop(within(t), pid, postgres.Fast))
}

func (p *primary) change(says func(*wire.HoldingsAnswer), asked func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says, p.asked = says, asked
}

func (p *primary) answer(ctx context.Context, kind string, _ any) (any, error) {
	p.mu.Lock()
	says, asked := p.says, p.asked
	p.mu.Unlock()
	session, err := p.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	switch kind {
	case wire.KindHistory:
		a, err := p.history(ctx, session)
		session.Close()
		if asked != nil {
			asked()
		}
		return a, err
	case wire.KindHoldings:
		has, err := session.Holdings(ctx)
		a := wire.HoldingsAnswer{Bytes: has.Bytes, WAL: has.WAL, OldestWAL: has.OldestWAL}
		if says != nil {
			says(&a)
		}
		return a, err
	}
	return nil, fmt.Errorf("asked for %s", kind)
}

func (p *primary) history(ctx context.Context, session *postgres.Session) (a wire.HistoryAnswer, err error) {
	if err := session.EnsureSlot(ctx, settings.Slot("server1")); err != nil {
		return a, err
	}
	seen, err := session.Look(ctx, "server1")
	if err != nil {
		return a, err
	}
	c, err := p.Control()
	if err != nil {
		return a, err
	}
	forks, err := p.History(seen.Timeline)
	a = wire.HistoryAnswer{Record: theirs(pair.Alone), SystemID: c.SystemID, Timeline: seen.Timeline, CheckpointTimeline: seen.CheckpointTimeline, Insert: seen.Insert}
	for _, f := range forks {
		a.Forks = append(a.Forks, wire.Fork(f))
	}
	return a, err
}

func sql(t *testing.T, in *postgres.Instance, statement string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin(), "psql"), "-XAtqw", "-h", in.Socket, "-p", strconv.Itoa(in.Port), "-U", in.User, "-d", in.Database, "-c", statement).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Without room nothing is begun, and what to do is said: --in-place, unless it is that
// already. What threatens the primary meanwhile is said whatever else is in the way.
func TestAPlanSaysWhatIsInTheWayAndWhatThreatensThePrimary(t *testing.T) {
	h, p := besidePrimary(t)
	p.change(func(a *wire.HoldingsAnswer) {
		a.Bytes = 1 << 60
		a.Keeps = &wire.LogKeeping{SlotLimit: -1, Short: []wire.ShortDisk{{Disk: "/wal: 1 % (9.0 MB) free", Level: "critical", Log: true}}}
	}, nil)
	plan := func(q wire.RebuildRequest) (string, string) {
		t.Helper()
		q.Way = wire.WayCopy
		plan, err := h.PlanRebuild(within(t), q)
		ok(t, err)
		if len(plan.Problems) != 1 || len(plan.Warnings) != 1 {
			t.Fatalf("the plan is %+v", plan)
		}
		return plan.Problems[0], plan.Warnings[0]
	}
	const hint = "or give up the old data first with --in-place"
	beside, warning := plan(wire.RebuildRequest{})
	if !strings.Contains(beside, "and the copy needs 1099511") || !strings.HasSuffix(beside, hint) {
		t.Errorf("beside the old data: %s", beside)
	}
	if !strings.Contains(warning, "room is critical on server2: /wal: 1 %") {
		t.Errorf("warned of: %s", warning)
	}
	if inPlace, again := plan(wire.RebuildRequest{InPlace: true}); !strings.Contains(inPlace, "and the copy needs 1099511") || strings.Contains(inPlace, "--in-place") || again != warning {
		t.Errorf("in place: %s; %s", inPlace, again)
	}
	above := filepath.Dir(h.Config.Server.DataDirectory)
	ok(t, os.Chmod(above, 0o500))
	defer func() { ok(t, os.Chmod(above, 0o700)) }()
	if closed, again := plan(wire.RebuildRequest{}); !strings.Contains(closed, "if that is right, mcctl rebuild --in-place") || again != warning {
		t.Errorf("where no copy can be made beside it: %s; %s", closed, again)
	}
}

// A primary that was put back to an earlier state, as by a disk that lost its last
// writes, lacks what its standby has on the same timeline. That is recognized, nothing is
// chosen by the supervisor itself, and when an operator asks for a copy, the old data
// stays until the copy streams.
func TestAStandbyAheadOfItsPrimaryIsCopiedWhenAsked(t *testing.T) {
	h, p := besidePrimary(t)
	appendTo(t, h.Config.Server.ConfigFile, "wal_keep_size = 0")
	received := fallBehind(t, h, p)
	ahead, err := h.PlanRebuild(within(t), wire.RebuildRequest{Way: wire.WayAuto})
	ok(t, err)
	if ahead.Way != wire.WayCopy || ahead.Extra < 2<<20 || ahead.Lacks != 0 || len(ahead.Problems)+len(ahead.Warnings) > 0 ||
		!strings.Contains(ahead.Why, fmt.Sprintf("this server holds at least %d bytes of log that server2 lacks, up to %s", ahead.Extra, received)) {
		t.Errorf("the plan is %+v", ahead)
	}
	pid, _ := h.Postgres.Postmaster()
	fails(t, h.Rejoin(within(t)), "which data is right is for an operator to say", "this server holds at least", "mcctl rebuild, on this server")
	if still, _ := h.Postgres.Postmaster(); still != pid {
		t.Error("it was stopped, although there is no way back")
	}
	if rows := sql(t, server(h), "select count(*) from t"); rows != "3" {
		t.Errorf("%s rows are here", rows)
	}
	theOldDataStaysUntilTheCopyStreams(t, h, p, ahead)
	if rows := sql(t, server(h), "select count(*) from t"); rows != "0" {
		t.Errorf("%s rows are here after the copy, and the primary has none", rows)
	}
	if r, found := h.Lost().Newest(); !found || r.Acknowledged != lost.Maybe || len(r.Segments) < 4 || r.Segments[0] != sql(t, p.Instance, "select pg_walfile_name('"+r.From.String()+"')") {
		t.Errorf("of the log that was given up it is reported: %+v", r)
	}
	theOldDataGoesWhenTheCopyStreamsByItself(t, h, p)
}

// fallBehind has server1 receive more than server2 has afterwards, and returns how far.
func fallBehind(t *testing.T, h *Hands, p *primary) (received pair.LSN) {
	t.Helper()
	sql(t, p.Instance, "create table t (n int)")
	_, err := h.history(within(t)) // makes the slot
	ok(t, err)
	p.stop(t)
	earlier := p.Data + ".earlier"
	if out, err := exec.Command("cp", "-a", p.Data, earlier).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.start(t)
	ok(t, h.StartStandby(within(t)))
	for range 3 { // whole segments, of 1 MB: a standby asks for log from the beginning of one
		sql(t, p.Instance, "insert into t values (1); select pg_switch_wal()")
	}
	sql(t, p.Instance, "checkpoint") // a standby that shuts down needs no older log
	flushed, err := pair.ParseLSN(sql(t, p.Instance, "select pg_current_wal_flush_lsn()"))
	ok(t, err)
	eventually(t, "the standby has all of it", func() bool {
		h.Look()
		return h.Board.Read().Look.Replayed >= flushed
	})
	p.stop(t)
	ok(t, os.RemoveAll(p.Data))
	ok(t, os.Rename(earlier, p.Data))
	p.start(t)
	eventually(t, "PostgreSQL refuses to send from beyond its own log", func() bool {
		log := content(t, h.Config.Server.LogFile)
		return strings.Contains(log, "requested starting point") && strings.Contains(log, "is ahead of the WAL flush position of this server")
	})
	h.Look()
	return h.Board.Read().Look.Received
}

// theOldDataStaysUntilTheCopyStreams has the primary away from when the copy is whole
// until the copy has started.
func theOldDataStaysUntilTheCopyStreams(t *testing.T, h *Hands, p *primary, plan wire.RebuildPlan) {
	t.Helper()
	data := h.Config.Server.DataDirectory
	whole, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.change(nil, func() {
		if h.Postgres.HasCopy() {
			once.Do(func() { close(whole); <-goOn })
		}
	})
	_, _, err := h.Rebuilds.Begin(plan, wire.RebuildRequest{Way: wire.WayAuto}, false)
	ok(t, err)
	ctx, ended := within(t), make(chan error, 1)
	go func() { ended <- h.Rebuild(ctx) }()
	select {
	case <-whole:
	case err := <-ended:
		t.Fatalf("the copy was never whole: %v", err)
	}
	before := filesOf(t, data)
	p.stop(t)
	close(goOn)
	eventually(t, "the copy stands in its place and answers", func() bool {
		h.Look()
		job, err := h.Rebuilds.Get("")
		return err == nil && job.Phase == wire.RebuildStarting && !h.Postgres.HasCopy() && h.Board.Read().Look.InRecovery
	})
	if aside := filesOf(t, h.Postgres.KeptOld()); !maps.Equal(before, aside) {
		t.Errorf("of %d files of the old data %d are there, or they have changed", len(before), len(aside))
	}
	p.start(t)
	ok(t, <-ended)
	if h.Board.Read().Look.Receiver.Status != "streaming" {
		t.Error("the rebuild has ended, and the copy does not stream")
	}
	eventually(t, "the old data has gone, and its directory", func() bool {
		left, _ := filepath.Glob(data + ".*")
		return h.Postgres.KeptOld() == "" && len(left) == 0
	})
}

// theOldDataGoesWhenTheCopyStreamsByItself has no job that follows the copies. What was
// seen of one says nothing of the next.
func theOldDataGoesWhenTheCopyStreamsByItself(t *testing.T, h *Hands, p *primary) {
	t.Helper()
	swap := func() {
		t.Helper()
		ok(t, h.stop(within(t), fastPatience))
		ok(t, h.Postgres.BaseBackup(within(t), h.copySource(), postgres.BackupOptions{}))
		h.Look()
		ok(t, h.swap(false, false))
	}
	swap()
	p.stop(t)
	ok(t, h.StartStandby(within(t)))
	eventually(t, "the copy answers", func() bool { h.Look(); return h.Board.Read().Look.InRecovery })
	at, stop := context.WithCancel(within(t))
	stop()
	if _, err := h.streams(at); err == nil || h.Postgres.KeptOld() == "" {
		t.Fatal("a copy is taken for one that streams")
	}
	p.start(t)
	eventually(t, "the old data has gone", func() bool { return h.Postgres.KeptOld() == "" })
	before, err := h.streams(within(t))
	ok(t, err)
	swap()
	if done, err := h.drop(before, true); done || err != nil || h.Postgres.KeptOld() == "" {
		t.Errorf("dropped what the second copy has replaced: %t, %v", done, err)
	}
	theSwapsNamesMustBeFree(t, h, p)
}

// A stream that has lasted may yet be refused: a primary that is frozen answers late.
func TestOldDataWaitsUntilThePrimaryHasSentSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hands{Board: board.NewBoard()}
		began, answers := time.Now(), time.Minute
		h.Look = func() {
			h.Board.Note(func(s *board.Sight) {
				s.PID = 1
				s.Saw(postgres.Look{InRecovery: true, Receiver: postgres.Receiver{PID: 2, Status: "streaming", Answered: time.Since(began) >= answers}}, time.Since(began)+1)
			})
		}
		_, err := h.streams(t.Context())
		ok(t, err)
		if took := time.Since(began); took < answers {
			t.Errorf("it counts as streaming after %s", took)
		}
	})
}

// Jobs come and go, with other wishes, or without having come to a copy.
func TestOldDataIsKeptWhateverIsAskedNext(t *testing.T) {
	h, _ := besidePrimary(t)
	ask := func(q wire.RebuildRequest) {
		t.Helper()
		_, _, err := h.Rebuilds.Begin(wire.RebuildPlan{}, q, false)
		ok(t, err)
	}
	ask(wire.RebuildRequest{Way: wire.WayCopy, KeepOld: true})
	ok(t, h.Rebuild(within(t)))
	ask(wire.RebuildRequest{Way: wire.WayRewind})
	_, err := h.Rebuilds.GiveUp("")
	ok(t, err)
	if done, err := h.drop(h.swaps, true); !done || err != nil || h.Postgres.KeptOld() == "" {
		t.Errorf("done %t, and it lies in %q: %v", done, h.Postgres.KeptOld(), err)
	}
}

// theSwapsNamesMustBeFree before a copy is made; when one is taken meanwhile, the copy
// waits, and none is made anew.
func theSwapsNamesMustBeFree(t *testing.T, h *Hands, p *primary) {
	t.Helper()
	void := func() { ok(t, os.MkdirAll(h.Config.Server.DataDirectory+".void", 0o700)) }
	rebuild := func(tries int, wants func(error) bool) {
		t.Helper()
		_, _, err := h.Rebuilds.Begin(wire.RebuildPlan{}, wire.RebuildRequest{Way: wire.WayCopy}, false)
		ok(t, err)
		failed := h.Rebuild(within(t))
		fails(t, failed, "is in the way")
		if job, err := h.Rebuilds.Get(""); err != nil || job.Try != tries || h.Postgres.HasCopy() != (tries > 0) || !wants(failed) {
			t.Errorf("%v, in vain %t: %+v, %v", failed, errors.Is(failed, ErrInVain), job, err)
		}
	}
	void()
	rebuild(0, func(err error) bool { return !errors.Is(err, ErrInVain) })
	ok(t, os.Remove(h.Config.Server.DataDirectory+".void"))
	p.change(nil, func() {
		if h.Postgres.HasCopy() {
			void()
		}
	})
	rebuild(1, func(err error) bool { return errors.Is(err, ErrInVain) })
}

// filesOf is a snapshot by names within the directory; without one it is empty.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	within := map[string]string{}
	if dir == "" {
		return within
	}
	for path, is := range snapshot(t, dir) {
		within[strings.TrimPrefix(path, dir)] = is
	}
	delete(within, "") // changed by the mark that a swap puts there
	delete(within, "/mcctl_aside")
	return within
}
