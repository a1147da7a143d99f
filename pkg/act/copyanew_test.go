package act

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mcctl/pkg/board"
	"mcctl/pkg/config"
	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// The site's program is not run when others can write it. One that fails is tried three
// times; that this was in vain is marked, since the next try should not come at once.
func TestTheSitesProgramIsNotRunWhateverItIsNorForEver(t *testing.T) {
	h, _ := besidePrimary(t)
	program := filepath.Join(h.Config.Dir, "restore")
	ok(t, os.WriteFile(program, []byte("#!/bin/sh\necho run >>"+program+".runs\nexit 7\n"), 0o700))
	h.Config.Pair.Policy.RebuildCommand = []string{program}
	rebuild := func() error {
		t.Helper()
		plan, err := h.PlanRebuild(within(t), wire.RebuildRequest{Way: wire.WayCommand})
		ok(t, err)
		_, _, err = h.Rebuilds.Begin(plan, wire.RebuildRequest{Way: wire.WayCommand}, false)
		ok(t, err)
		return h.Rebuild(within(t))
	}
	ok(t, os.Chmod(program, 0o720))
	fails(t, rebuild(), "policy.rebuild_command: "+program+" has mode 0720 and can be written by others; run: chmod go-w "+program)
	if runs, err := os.ReadFile(program + ".runs"); err == nil {
		t.Errorf("it was run all the same:\n%s", runs)
	}
	ok(t, os.Chmod(program, 0o700))
	if err := rebuild(); !errors.Is(err, ErrInVain) || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("failed with %v", err)
	}
	if runs := content(t, program+".runs"); runs != strings.Repeat("run\n", copyTries) {
		t.Errorf("it was run so often:\n%s", runs)
	}
}

// Who may write the site's program is asked before every run. What an earlier supervisor's
// has begun is ended before any copy, also one by pg_basebackup.
func TestTheSitesProgramIsJudgedAndEndedEachTime(t *testing.T) {
	h, _ := besidePrimary(t)
	program := filepath.Join(h.Config.Dir, "restore")
	ok(t, os.WriteFile(program, []byte("#!/bin/sh\necho run >>"+program+".runs\nchmod g+w "+program+"\nexit 7\n"), 0o700))
	h.Config.Pair.Policy.RebuildCommand = []string{program}
	rebuild := func(way string) error {
		t.Helper()
		_, _, err := h.Rebuilds.Begin(wire.RebuildPlan{}, wire.RebuildRequest{Way: way}, false)
		ok(t, err)
		return h.Rebuild(within(t))
	}
	err := rebuild(wire.WayCommand)
	fails(t, err, "can be written by others")
	if runs := content(t, program+".runs"); runs != "run\n" || errors.Is(err, ErrInVain) {
		t.Errorf("in vain: %t, and it was run so often:\n%s", errors.Is(err, ErrInVain), runs)
	}
	held, err := os.Create(h.copyLock())
	ok(t, err)
	orphan := exec.Command("sleep", "3600")
	orphan.ExtraFiles, orphan.SysProcAttr = []*os.File{held}, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ok(t, orphan.Start())
	ok(t, held.Close())
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	ok(t, rebuild(wire.WayCopy))
	select {
	case <-ended:
	default:
		_ = orphan.Process.Kill()
		t.Error("it goes on")
	}
}

// What a copy has left that died with the host is in the way of no other copy.
func TestAnAbandonedCopyTakesUpNobodysRoom(t *testing.T) {
	if !fault.Inside(t) {
		return
	}
	h, _ := besidePrimary(t)
	data := h.Config.Server.DataDirectory
	fault.NewDisk(t, 170<<20).Replace(filepath.Dir(data))
	ok(t, os.Mkdir(data+".part", 0o700))
	ok(t, os.WriteFile(filepath.Join(data+".part", "half"), make([]byte, 100<<20), 0o600))
	note := filepath.Join(filepath.Dir(data), "."+filepath.Base(data)+".mcctl-copy")
	ok(t, durable.WriteJSON(note, []string{data + ".part"}, 0o600))
	plan, err := h.PlanRebuild(within(t), wire.RebuildRequest{Way: wire.WayCopy})
	ok(t, err)
	if len(plan.Problems) > 0 {
		t.Fatalf("in the way: %q", plan.Problems)
	}
	_, _, err = h.Rebuilds.Begin(plan, wire.RebuildRequest{Way: wire.WayCopy}, false)
	ok(t, err)
	ok(t, h.Rebuild(within(t)))
}

// A copy that may not take the place of the data is dropped: nobody goes on with it.
func TestACopyThatIsNotWantedAnyMoreIsDropped(t *testing.T) {
	h, p := besidePrimary(t)
	var once sync.Once
	p.change(nil, func() {
		if h.Postgres.HasCopy() {
			once.Do(func() {
				h.Board.Set(func(s *board.Sight) { s.Record.Mode = pair.Paired })
			})
		}
	})
	plan, err := h.PlanRebuild(within(t), wire.RebuildRequest{Way: wire.WayCopy})
	ok(t, err)
	_, _, err = h.Rebuilds.Begin(plan, wire.RebuildRequest{Way: wire.WayCopy}, false)
	ok(t, err)
	fails(t, h.Rebuild(within(t)), "the pair is paired again")
	if h.Postgres.HasCopy() {
		t.Error("it is there still")
	}
}

// What was kept of data that a rewind was cut off in says nothing of the copy that has
// taken its place, whenever the supervisor dies: else it would count as half written.
func TestAWholeCopyIsNotTakenForHalfOfOne(t *testing.T) {
	for _, cutOff := range []bool{false, true} {
		h, _ := besidePrimary(t)
		ok(t, os.Mkdir(h.KeepDir(), 0o700))
		ok(t, os.WriteFile(filepath.Join(h.KeepDir(), "postgresql.conf"), []byte("older = 1"), 0o600))
		if err := h.Recover(); !errors.Is(err, postgres.ErrUnfinished) {
			t.Fatalf("the data counts as whole: %v", err)
		}
		ok(t, h.Postgres.BaseBackup(within(t), h.copySource(), postgres.BackupOptions{}))
		ok(t, os.WriteFile(h.Config.Server.DataDirectory+".new/postgresql.conf", []byte("whole = 1"), 0o600))
		if cutOff {
			ok(t, os.Rename(h.Config.Server.DataDirectory, h.Config.Server.DataDirectory+".old"))
		} else {
			ok(t, h.swap(true, false))
			if _, err := os.Lstat(h.KeepDir()); err == nil {
				t.Error("a supervisor that dies after the swap leaves what was kept")
			}
		}
		ok(t, h.Recover())
		if is := content(t, h.Config.Server.ConfigFile); is != "whole = 1" {
			t.Errorf("the configuration is %q", is)
		}
	}
}

// A disk that is missing at a start is not replaced by another one by itself.
func TestHalfMadeDataWhoseDiskIsMissingIsNotCopiedElsewhere(t *testing.T) {
	h, _ := besidePrimary(t)
	data := h.Config.Server.DataDirectory
	ok(t, os.RemoveAll(data))
	ok(t, os.Mkdir(data, 0o700))
	ok(t, os.Mkdir(h.KeepDir(), 0o700))
	ok(t, durable.WriteJSON(filepath.Join(h.KeepDir(), ".layout.json"), postgres.Layout{Mount: data}, 0o600))
	if err := h.Rejoin(within(t)); !errors.Is(err, postgres.ErrUnmounted) || !h.Postgres.Empty() || h.Postgres.HasCopy() {
		t.Errorf("it ended with %v", err)
	}
}

// stranded is a standby that runs, and is known to need log that its primary has not.
func stranded(t *testing.T) (h *Hands, p *primary, pid int) {
	t.Helper()
	h, p = besidePrimary(t)
	ok(t, h.StartStandby(within(t)))
	h.Look()
	h.Board.Set(func(s *board.Sight) { s.Stranded = true })
	return h, p, h.Board.Read().PID
}

// Whoever reads from a standby goes on with that when a copy cannot even be begun.
func TestAStandbyRunsOnWhenNoCopyCanBeMade(t *testing.T) {
	h, p, pid := stranded(t)
	rejoin := func(words string) {
		t.Helper()
		fails(t, h.Rejoin(within(t)), words)
		if now, _ := h.Postgres.Postmaster(); now != pid {
			t.Fatal("it was stopped")
		}
	}
	above := filepath.Dir(h.Config.Server.DataDirectory)
	ok(t, os.Chmod(above, 0o500))
	rejoin("mcctl rebuild --in-place")
	ok(t, os.Chmod(above, 0o700))
	theirs := filepath.Join(h.Config.Server.DataDirectory+".new", "theirs")
	ok(t, os.MkdirAll(theirs, 0o700))
	rejoin("see what it is, and move it away")
	ok(t, os.Remove(theirs))
	p.change(func(a *wire.HoldingsAnswer) { a.Bytes = 1 << 60 }, nil)
	rejoin("make room")
	p.change(nil, nil)
	unread := filepath.Join(h.Config.Server.DataDirectory, "postgresql.conf.bak")
	ok(t, os.WriteFile(unread, nil, 0))
	rejoin(unread)
	ok(t, os.Remove(unread))
	h.Config.Pair.Policy.RebuildCommand = []string{filepath.Join(above, "missing")}
	rejoin("policy.rebuild_command")
}

// What cannot be foreseen does not cut them off again and again.
func TestAStandbyThatWasStoppedInVainIsNotStoppedAgainSoon(t *testing.T) {
	h, p, _ := stranded(t)
	at := h.Board.Read().Look.Received
	h.Peer.(*otherSide).answer = func(ctx context.Context, kind string, q any) (any, error) {
		a, err := p.answer(ctx, kind, q)
		if history, is := a.(wire.HistoryAnswer); is { // as if it had taken over from before what is here
			history.Timeline, history.Forks = 2, []wire.Fork{{Timeline: 1, LSN: at - 1}}
			a = history
		}
		return a, err
	}
	h.Config.Pair.Policy.LostWAL, h.Config.Pair.Policy.Rejoin = config.RequireLost, []config.Rejoin{config.Rebuild}
	ok(t, os.WriteFile(h.Config.Path("lost"), nil, 0o600)) // where the directory shall be
	err := h.Rejoin(within(t))
	fails(t, err, "nothing is discarded before it was saved")
	if !errors.Is(err, ErrInVain) {
		t.Error("it would be stopped again at once")
	}
}

// A copy that was made by itself and does not come up is not made again at once.
func TestACopyThatDoesNotComeUpWasInVain(t *testing.T) {
	h, _ := besidePrimary(t)
	appendTo(t, h.Config.Server.ConfigFile, "shared_buffers = nonsense")
	h.SaveOwn()
	ok(t, os.RemoveAll(h.Config.Server.DataDirectory))
	err := h.Rejoin(within(t))
	if job, unknown := h.Rebuilds.Get(""); !errors.Is(err, ErrInVain) || unknown != nil || job.Phase != wire.RebuildFailed || h.Postgres.Empty() {
		t.Errorf("it ended with %v: %+v, %v", err, job, unknown)
	}
}
