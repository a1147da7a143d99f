package act

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// hung is a disk that answers no write until it is let go.
type hung struct {
	durable.Disk
	writes chan struct{} // one for each write that has begun
	goOn   chan struct{}
	letGo  func()
}

func newHung(t *testing.T) *hung {
	h := &hung{Disk: durable.Machine, writes: make(chan struct{}, 100), goOn: make(chan struct{})}
	h.letGo = sync.OnceFunc(func() { close(h.goOn) })
	t.Cleanup(h.letGo)
	return h
}

func (h *hung) WriteJSON(path string, v any, mode fs.FileMode) error {
	h.writes <- struct{}{}
	<-h.goOn
	return h.Disk.WriteJSON(path, v, mode)
}

// hasBegun waits until a write hangs.
func (h *hung) hasBegun(t *testing.T) {
	t.Helper()
	select {
	case <-h.writes:
	case <-time.After(limit):
		t.Fatal("nothing is written")
	}
}

// atOnce fails when something waits for the disk.
func atOnce(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s waits for the disk", what)
	}
}

// Status asks for the newest job, and an action goes from phase to phase: neither
// waits for a disk that hangs while a job begins or its end is saved.
func TestNobodyWaitsForAJobThatIsBeingSaved(t *testing.T) {
	st := newStore(t)
	disk := newHung(t)
	st.Disk = disk
	j, err := LoadJobs(st)
	ok(t, err)
	began := make(chan error, 1)
	go func() {
		_, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
		began <- err
	}()
	disk.hasBegun(t)
	atOnce(t, "Get", func() {
		if job, err := j.Get(""); err == nil {
			t.Errorf("a job that is not saved has begun: %+v", job)
		}
	})
	disk.letGo()
	ok(t, <-began)

	again := newHung(t)
	st.Disk = again
	atOnce(t, "the end of a job", func() { j.Fail(errors.New("planned")) })
	saved := make(chan error, 1)
	go func() { saved <- j.SaveEnd() }()
	again.hasBegun(t)
	atOnce(t, "Get", func() {
		if job, _ := j.Get(""); job.Phase != phaseFailed || !job.Final {
			t.Errorf("the job is %+v", job)
		}
	})
	atOnce(t, "Settle", func() { j.Settle(copyOf(4, 9, pair.Alone), true) })
	again.letGo()
	ok(t, <-saved)
	j, err = LoadJobs(st)
	ok(t, err)
	if job, _ := j.Get(""); job.Phase != phaseFailed || !job.Final {
		t.Errorf("on the disk: %+v", job)
	}
}

// The loop asks whether the operator has given a rebuild up.
func TestNobodyWaitsForARebuildThatIsBeingSaved(t *testing.T) {
	disk := newHung(t)
	r, _, err := LoadRebuildsOn(disk, t.TempDir()+"/rebuild.json")
	ok(t, err)
	ended := make(chan error, 2)
	go func() {
		_, _, err := r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
		ended <- err
		ended <- r.Enter(wire.RebuildCopying)
	}()
	disk.hasBegun(t)
	readers := func() {
		_, _ = r.Get("")
		r.Running()
		r.GivenUp()
		r.Forget()
		r.Rate()
	}
	atOnce(t, "a reader", readers)
	disk.letGo()
	ok(t, <-ended)
	ok(t, <-ended)

	disk = newHung(t)
	r.disk = disk
	go func() { ended <- r.End(errors.New("planned")) }()
	disk.hasBegun(t)
	atOnce(t, "a reader", readers)
	if job, _ := r.Get(""); job.Phase != wire.RebuildFailed {
		t.Errorf("the job is %+v", job)
	}
	disk.letGo()
	ok(t, <-ended)
}

// A switch for want of room that cannot be noted has failed, in a time, and does not
// come back to life when the disk does.
func TestASwitchForRoomDoesNotWaitForItsJob(t *testing.T) {
	h, _ := newHands(t, copyOf(3, 8, pair.Paired))
	disk := newHung(t)
	h.Jobs.store.Disk = disk
	outcome := make(chan error, 1)
	go func() { outcome <- h.Switch(context.Background()) }()
	select {
	case err := <-outcome:
		fails(t, err, "management directory does not answer")
	case <-time.After(limit):
		t.Error("it waits for the disk")
	}
	disk.letGo()
	eventually(t, "the job has ended", func() bool { job, _ := h.Jobs.Get(""); return job.Final })
	if h.Board.Read().ReliefFailed == 0 {
		t.Error("the failure is not noted, so it would be tried again at once")
	}
}
