package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"mcctl/pkg/wire"
)

// rebuilding is a supervisor with a rebuild that goes on by one phase each time it
// is asked about.
type rebuilding struct {
	*supervisor
	mu     sync.Mutex
	plan   wire.RebuildPlan
	job    wire.RebuildJob
	phases []string
	asked  []wire.RebuildRequest
}

func newRebuilding(t *testing.T, plan wire.RebuildPlan, phases ...string) *rebuilding {
	t.Helper()
	plan.Server, plan.From = "server2", "server1"
	r := &rebuilding{supervisor: newSupervisor(t, paired()), plan: plan, phases: phases}
	r.on(wire.KindRebuild, func(body json.RawMessage) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var q wire.RebuildRequest
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		r.asked = append(r.asked, q)
		if r.job.ID != "" {
			return wire.RebuildAnswer{Job: &r.job, Plan: &r.plan}, nil
		}
		if q.DryRun {
			return wire.RebuildAnswer{Plan: &r.plan}, nil
		}
		r.job = wire.RebuildJob{ID: "rebuild-1", Plan: r.plan, Request: q}
		r.enter("waiting")
		job := r.job
		return wire.RebuildAnswer{Job: &job, Begun: true}, nil
	})
	r.on(wire.KindRebuildJob, func(json.RawMessage) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.job.ID == "" {
			return nil, errors.New("no rebuild is known here")
		}
		if len(r.phases) > 0 {
			r.enter(r.phases[0])
			r.phases = r.phases[1:]
		}
		return r.job, nil
	})
	r.on(wire.KindRebuildCancel, func(json.RawMessage) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.phases = []string{wire.RebuildGivenUp}
		return r.job, nil
	})
	return r
}

func (r *rebuilding) enter(phase string) {
	r.job.Phase = phase
	r.job.Steps = append(append([]wire.JobStep{}, r.job.Steps...), wire.JobStep{Phase: phase, AtMS: float64(1000 * len(r.job.Steps))})
	r.job.Final = phase == wire.RebuildDone || phase == wire.RebuildFailed || phase == wire.RebuildGivenUp
	if phase == wire.RebuildCopying {
		r.job.Done, r.job.Total, r.job.BytesPerSecond, r.job.Seconds = 1<<20, 4<<20, 1<<20, 3
	}
	if phase == wire.RebuildFailed {
		r.job.Error = "No space left on device"
	}
}

func copyPlan() wire.RebuildPlan {
	return wire.RebuildPlan{
		Way: wire.WayCopy, Why: "the data directory is empty", Bytes: 4 << 20, Paired: true, Extra: 2048, BytesPerSecond: 1 << 20, Seconds: 4,
		Rooms:    []wire.Room{{Path: "/data", Needs: 5 << 20, Free: 1 << 30}},
		Warnings: []string{"room is low on server1: /wal", "max_slot_wal_keep_size"},
	}
}

func TestRebuildSaysWhatItWillDoAndFollows(t *testing.T) {
	r := newRebuilding(t, copyPlan(), "stopping", "copying", "swapping", "starting", "done")
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--yes", "--max-rate", "50M", "--keep-old").wants(t, exitDone,
		"server2 will be copied anew from server1, by pg_basebackup, beside the old data", "why: the data directory is empty",
		"log here that server1 lacks: 2.0 KB, which will be given up", "to copy: 4.0 MB; about 4s at the rate of the last copy, 1.0 MB/s",
		"needs 5.0 MB, free 1.0 GB", "goes alone first", "rebuild-1: begun", "copying", "1.0 MB of 4.0 MB  1.0 MB/s  3s left", "server2 streams from server1, after 5.0 s (copy)")
	if q := r.asked[1]; q.DryRun || q.MaxRate != "50M" || !q.KeepOld || q.Way != wire.WayAuto {
		t.Errorf("asked for %+v", q)
	}
}

func TestRebuildIsNotDoneUnasked(t *testing.T) {
	r := newRebuilding(t, copyPlan())
	// Repeated as it was typed: without --keep-old it would delete what was to be kept.
	mcctl(t.Context(), "rebuild", "--way", "copy", "--keep-old", "-M", r.mcdir).wants(t, exitRefused,
		"mcctl: rebuild: not done without --yes\nhint: if that is right, repeat the command with --yes\n")
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--dry-run").wants(t, exitDone, "will be copied anew", "warning: room is low on server1: /wal\n", "warning: max_slot_wal_keep_size\n")
	for answer, done := range map[string]bool{"": false, "n\n": false, "y\n": true} {
		r := newRebuilding(t, copyPlan(), "done")
		var out, complaints bytes.Buffer
		env := testEnv(&out, &complaints)
		env.Asking, env.Stdin = true, strings.NewReader(answer)
		status := exitStatus(Main(t.Context(), env, []string{"rebuild", "-M", r.mcdir}))
		if (status == exitDone) != done || !strings.Contains(out.String(), "warning: max_slot_wal_keep_size\nReplace the data of server2? [y/N]") {
			t.Errorf("answered %q: status %d\n%s%s", answer, status, &out, &complaints)
		}
	}
}

func TestRebuildRefusedOrNotNeeded(t *testing.T) {
	plan := copyPlan()
	plan.Problems = []string{"the file system of /data has 1 MB free, and the copy needs 5 MB"}
	r := newRebuilding(t, plan)
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--yes").wants(t, exitRefused, "has 1 MB free, and the copy needs 5 MB")
	r = newRebuilding(t, wire.RebuildPlan{Way: wire.WayStraight, Why: "nothing here is missing there"})
	mcctl(t.Context(), "rebuild", "-M", r.mcdir).wants(t, exitDone, "server2 needs no rebuild: nothing here is missing there")
	if r.job.ID != "" {
		t.Error("it was begun")
	}
	mcctl(t.Context(), "rebuild", "-M", newMcdir(t)).wants(t, exitNotRunning, "no supervisor is running here", "start it: mcctl start")
	for _, rate := range []string{"1", "31k", "2G", "M", "5 M", "1025M"} {
		mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--max-rate", rate).wants(t, exitUsage, "--max-rate")
	}
}

func TestRebuildShowsTheOneThatIsUnderWay(t *testing.T) {
	r := newRebuilding(t, copyPlan(), "failed")
	r.job = wire.RebuildJob{ID: "rebuild-0", Plan: r.plan, Automatic: true}
	r.enter("copying")
	mcctl(t.Context(), "rebuild", "--yes", "--no-wait", "-M", r.mcdir).wants(t, exitDone, "a rebuild is under way already: rebuild-0")
	mcctl(t.Context(), "rebuild", "-M", r.mcdir).wants(t, exitFailed, "a rebuild is under way already: rebuild-0", "No space left on device")
	r.job.Final, r.job.Phase = false, wire.RebuildCopying
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--status").wants(t, exitGoingOn, "rebuild-0: copying (copy, begun by the supervisor itself), 1.0 MB of 4.0 MB")
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--cancel").wants(t, exitDone, "given-up", "the old data is as it was")
	r.job.Final, r.job.Committed, r.job.Phase = false, true, wire.RebuildStarting
	mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--cancel").wants(t, exitDone, "given-up", "the copy is in its place")
}

func TestCtrlCEndsTheFollowingAndNotTheRebuild(t *testing.T) {
	r := newRebuilding(t, copyPlan(), "copying")
	ctx, cancel := context.WithCancel(t.Context())
	r.on(wire.KindRebuildJob, func(json.RawMessage) (any, error) {
		cancel()
		return r.job, nil
	})
	mcctl(ctx, "rebuild", "-M", r.mcdir, "--yes").wants(t, exitGoingOn, "goes on without this command", "rebuild-1 goes on", "mcctl rebuild --cancel")
	if r.count(wire.KindRebuildCancel) != 0 {
		t.Error("it was given up")
	}
}

func TestRebuildAsEvents(t *testing.T) {
	r := newRebuilding(t, copyPlan(), "copying", "done")
	got := mcctl(t.Context(), "rebuild", "-M", r.mcdir, "--yes", "-o", "json")
	var kinds []string
	for line := range strings.Lines(got.stdout) {
		var e struct {
			Event string
			Plan  struct{ Warnings []string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.Event == "plan" && len(e.Plan.Warnings) != 2 {
			t.Errorf("the plan tells no warnings: %s", line)
		}
		kinds = append(kinds, e.Event)
	}
	if s := strings.Join(kinds, " "); s != "plan phase phase progress phase end" {
		t.Errorf("events %q:\n%s", s, got.stdout)
	}
}

func TestProgressBar(t *testing.T) {
	for want, job := range map[string]wire.RebuildJob{
		"[........]   0%  0 B of 0 B":                            {},
		"[##......]  25%  1.0 MB of 4.0 MB  1.0 MB/s  1m3s left": {Done: 1 << 20, Total: 4 << 20, BytesPerSecond: 1 << 20, Seconds: 63},
		"[########] 100%  4.0 MB of 4.0 MB  1.0 MB/s":            {Done: 4 << 20, Total: 4 << 20, BytesPerSecond: 1 << 20},
		"[########] 100%  5.0 MB of 4.0 MB":                      {Done: 5 << 20, Total: 4 << 20},
	} {
		if got := progressBar(job, 8); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
