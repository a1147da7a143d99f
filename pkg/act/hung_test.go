package act

import (
	"context"
	"errors"
	"testing"
	"time"

	"mcctl/pkg/arbiter"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
	"mcctl/test/fault"
)

// Status asks for the newest job, and an action goes from phase to phase: neither
// waits for a disk that hangs while a job begins or its end is saved.
func TestNobodyWaitsForAJobThatIsBeingSaved(t *testing.T) {
	st := newStore(t)
	disk := fault.Hang(t)
	st.Disk = disk
	j, err := LoadJobs(st)
	ok(t, err)
	began := make(chan error, 1)
	go func() {
		_, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
		began <- err
	}()
	disk.Await(t)
	disk.Free(t, "Get", func() {
		if job, err := j.Get(""); err == nil {
			t.Errorf("a job that is not saved has begun: %+v", job)
		}
	})
	disk.LetGo()
	ok(t, <-began)

	disk = fault.Hang(t)
	st.Disk = disk
	disk.Free(t, "the end of a job", func() { j.Fail(errors.New("planned")) })
	saved := make(chan error, 1)
	go func() { saved <- j.SaveEnd() }()
	disk.Await(t)
	disk.Free(t, "Get", func() {
		if job, _ := j.Get(""); job.Phase != phaseFailed || !job.Final {
			t.Errorf("the job is %+v", job)
		}
	})
	disk.Free(t, "Settle", func() { j.Settle(copyOf(4, 9, pair.Alone), true, true) })
	disk.LetGo()
	ok(t, <-saved)
	j, err = LoadJobs(st)
	ok(t, err)
	if job, _ := j.Get(""); job.Phase != phaseFailed || !job.Final {
		t.Errorf("on the disk: %+v", job)
	}
}

// The loop asks whether the operator has given a rebuild up.
func TestNobodyWaitsForARebuildThatIsBeingSaved(t *testing.T) {
	disk := fault.Hang(t)
	r, _, err := LoadRebuilds(disk, t.TempDir()+"/rebuild.json")
	ok(t, err)
	ended := make(chan error, 2)
	go func() {
		_, _, err := r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
		ended <- err
		ended <- r.Enter(wire.RebuildCopying)
	}()
	disk.Await(t)
	readers := func() {
		_, _ = r.Get("")
		r.Running()
		r.GivenUp()
		r.Forget()
		r.Rate()
	}
	disk.Free(t, "a reader", readers)
	disk.LetGo()
	ok(t, <-ended)
	ok(t, <-ended)

	disk = fault.Hang(t)
	r.disk = disk
	go func() { ended <- r.End(errors.New("planned")) }()
	disk.Await(t)
	disk.Free(t, "a reader", readers)
	if job, _ := r.Get(""); job.Phase != wire.RebuildFailed {
		t.Errorf("the job is %+v", job)
	}
	disk.LetGo()
	ok(t, <-ended)
}

// A switch for want of room that cannot be noted has failed, in a time, and does not
// come back to life when the disk does.
func TestASwitchForRoomDoesNotWaitForItsJob(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	disk := fault.Hang(t)
	h.Jobs.store.Disk = disk
	outcome := make(chan error, 1)
	go func() { outcome <- h.Switch(context.Background()) }()
	select {
	case err := <-outcome:
		fails(t, err, "management directory does not answer")
	case <-time.After(limit):
		t.Error("it waits for the disk")
	}
	disk.LetGo()
	eventually(t, "the job has ended", func() bool { job, _ := h.Jobs.Get(""); return job.Final })
	if h.Board.Read().ReliefFailed == 0 {
		t.Error("the failure is not noted, so it would be tried again at once")
	}
}

// Kind none: the hand-over is written on this server's own disk. When that hangs it has
// failed in a time, and says why; the copy that comes late is the record all the same.
func TestAHandOverDoesNotWaitForTheDiskThatTheRecordIsOn(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	disk := fault.Hang(t)
	own, err := arbiter.OpenCopy(disk, h.Config.Path("record.json"))
	ok(t, err)
	h.Copy = own
	h.Keeper = arbiter.NewLocal(arbiter.Machine, own, "server1", func() (record.Record, bool) { return record.Record{}, false })
	for range 2 {
		disk.Free(t, "the hand-over", func() {
			err := h.HandOver(context.Background())
			fails(t, err, "the disk of the management directory does not answer")
			if !errors.Is(err, wire.ErrNoAnswer) {
				t.Errorf("it counts as refused: %v", err)
			}
		})
	}
	if r := h.Board.Read().Record; r != copyOf(3, 8, pair.Paired) {
		t.Errorf("acted upon what is not saved: %s", r)
	}
	disk.LetGo()
	want := record.Record{Pair: "p", Term: 4, Primary: "server2", Mode: pair.Alone, Revision: 9}
	eventually(t, "the record is on the disk", func() bool {
		now, _, _ := h.Keeper.Seen()
		return now == want
	})
}
