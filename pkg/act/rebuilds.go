package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/wire"
)

// Rebuilds holds the newest rebuild of this server. Every phase is on disk before
// what it stands for begins, so that a supervisor that was killed goes on with it.
type Rebuilds struct {
	path string // rebuild.json
	disk durable.Disk

	writing sync.Mutex // held across a save, taken before mu
	mu      sync.Mutex // never held while the disk is waited for: it may hang
	job     wire.RebuildJob
	former  wire.RebuildJob // the one before, for those who still follow it
	began   time.Duration
	copied  time.Duration // when the present copy began
	stop    context.CancelCauseFunc
	asked   bool // to be given up
	// unsaved: the end of the job is not on the disk, which was full or gone.
	unsaved bool
	rate    int64
}

// savedRebuild is the content of rebuild.json.
type savedRebuild struct {
	Job  wire.RebuildJob `json:"job"`
	Rate int64           `json:"bytes_per_second"` // of the last copy that was whole
}

// LoadRebuilds finds the rebuild of an earlier life, and whether it shall go on: one
// that an operator asked for does, one of the supervisor's own is decided anew.
func LoadRebuilds(disk durable.Disk, path string) (r *Rebuilds, goesOn bool, err error) {
	var saved savedRebuild
	if err := disk.ReadJSON(path, &saved); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("load rebuild: %w", err)
	}
	r = &Rebuilds{path: path, disk: disk, job: saved.Job, rate: saved.Rate, began: wire.Now()}
	if r.job.ID == "" || r.job.Final {
		return r, false, nil
	}
	if r.job.Automatic {
		_ = r.End(errors.New("the supervisor ended; it decides anew")) // saved later where the disk is full (SaveEnd)
		return r, false, nil
	}
	r.job.Note = "the supervisor was restarted and goes on"
	if n := len(r.job.Steps); n > 0 { // the time in between is not known
		r.began -= time.Duration(r.job.Steps[n-1].AtMS * float64(time.Millisecond))
	}
	return r, true, nil
}

// Begin makes a new job; while one is under way that one is returned instead.
func (r *Rebuilds) Begin(plan wire.RebuildPlan, q wire.RebuildRequest, automatic bool) (job wire.RebuildJob, begun bool, err error) {
	r.writing.Lock()
	defer r.writing.Unlock()
	if now, err := r.Get(""); err == nil && !now.Final {
		return now, false, nil
	}
	began := wire.Now()
	job = wire.RebuildJob{ID: fmt.Sprintf("rebuild-%x", uint64(time.Now().UnixMicro())), Automatic: automatic, Request: q, Plan: plan, Total: plan.Bytes}
	enterRebuild(&job, wire.RebuildWaiting, began)
	if err := r.write(savedRebuild{job, r.Rate()}); err != nil { // as on a full disk: it has not begun
		return wire.RebuildJob{}, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job, r.former = job, r.job
	r.began, r.asked, r.unsaved = began, false, false
	return job, true, nil
}

// Enter goes on to the next phase, unless the operator has given the job up.
func (r *Rebuilds) Enter(phase string) error { return r.goOn(phase, false) }

// Commit passes the point of no return: what was here is being replaced.
func (r *Rebuilds) Commit(phase string) error { return r.goOn(phase, true) }

func (r *Rebuilds) goOn(phase string, committed bool) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	if r.asked && !r.job.Committed {
		r.mu.Unlock()
		return errGivenUp
	}
	r.job.Committed = r.job.Committed || committed
	r.enter(phase)
	r.mu.Unlock()
	return r.save()
}

func (r *Rebuilds) enter(phase string) { enterRebuild(&r.job, phase, r.began) }

func enterRebuild(job *wire.RebuildJob, phase string, began time.Duration) {
	job.Phase = phase
	job.Steps = append(job.Steps, wire.JobStep{Phase: phase, AtMS: float64((wire.Now()-began)/time.Microsecond) / 1e3})
}

// save writes the job as it is now; writing is held.
func (r *Rebuilds) save() error {
	r.mu.Lock()
	now := savedRebuild{r.job, r.rate}
	r.mu.Unlock()
	return r.write(now)
}

func (r *Rebuilds) write(now savedRebuild) error { return r.disk.WriteJSON(r.path, now, 0o600) }

// Changed notes that the way has become another one, and why.
func (r *Rebuilds) Changed(way, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Plan.Way, r.job.Plan.Why = way, why
}

// NewTry counts a copy that begins.
func (r *Rebuilds) NewTry(note string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Try++
	r.job.Note, r.job.Done, r.job.Seconds, r.copied = note, 0, 0, wire.Now()
}

// Copied notes how far the copy is, in bytes.
func (r *Rebuilds) Copied(done, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Done, r.job.Total = done, max(done, total)
	took := wire.Now() - r.copied
	if took < time.Second/2 || done == 0 {
		return
	}
	r.job.BytesPerSecond = int64(float64(done) / took.Seconds())
	if r.job.BytesPerSecond > 0 {
		r.job.Seconds = (r.job.Total - done) / r.job.BytesPerSecond
	}
}

// Begun tells whether the present copy has brought anything.
func (r *Rebuilds) Begun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.job.Done > 0
}

// Whole notes that the copy is complete, and keeps its rate for the next plan.
func (r *Rebuilds) Whole() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if took := wire.Now() - r.copied; r.job.Done > 0 && took > 0 {
		r.job.BytesPerSecond, r.job.Seconds = int64(float64(r.job.Done)/took.Seconds()), 0
		if r.job.Request.MaxRate == "" { // one that was held back says nothing of the next
			r.rate = r.job.BytesPerSecond
		}
	}
}

// Work hands out a context that GiveUp ends.
func (r *Rebuilds) Work(ctx context.Context) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = stop
	if r.asked && r.mayBeLeft() {
		stop(errGivenUp)
	}
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stop = nil
		stop(nil)
	}
}

// End ends the job: done without an error. One that has ended stays as it is.
func (r *Rebuilds) End(why error) error {
	r.Fail(why)
	return r.SaveEnd()
}

// Fail ends the job without waiting for the disk: SaveEnd is to follow.
func (r *Rebuilds) Fail(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(why)
}

func (r *Rebuilds) end(why error) {
	if r.job.ID == "" || r.job.Final {
		return
	}
	r.job.Final, r.job.Seconds, r.unsaved = true, 0, true
	switch {
	case why == nil:
		r.asked = false
		r.enter(wire.RebuildDone)
	case errors.Is(why, errGivenUp), r.asked && r.mayBeLeft(): // whatever it was cut off in says
		r.enter(wire.RebuildGivenUp)
	default:
		r.job.Error = why.Error()
		r.enter(wire.RebuildFailed)
	}
}

// SaveEnd saves the end of a job that is not on the disk yet. Until then a supervisor
// that is started again takes the job up once more.
func (r *Rebuilds) SaveEnd() error {
	r.mu.Lock()
	due := r.unsaved
	r.mu.Unlock()
	if !due {
		return nil // nobody waits for the disk in vain
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	due = r.unsaved
	r.mu.Unlock()
	if !due {
		return nil
	}
	if err := r.save(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsaved = false
	return nil
}

// mayBeLeft: nothing is lost by an end before the point of no return, and none when all
// that is left to do is to wait until the copy, which is in its place, streams.
func (r *Rebuilds) mayBeLeft() bool { return !r.job.Committed || r.job.Phase == wire.RebuildStarting }

// GiveUp asks the job to end, where it may be left.
func (r *Rebuilds) GiveUp(id string) (wire.RebuildJob, error) {
	job, err := r.giveUp(id)
	if err == nil {
		err = r.SaveEnd()
	}
	return job, err
}

func (r *Rebuilds) giveUp(id string) (wire.RebuildJob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.job.ID == "" || id != "" && id != r.job.ID:
		return wire.RebuildJob{}, r.unknown(id)
	case r.job.Final:
		return r.job, fmt.Errorf("rebuild %s has ended: %s", r.job.ID, r.job.Phase)
	case !r.mayBeLeft():
		return r.job, fmt.Errorf("rebuild %s is past its point of no return (%s): what was here is being replaced, and only the end of it makes this server whole", r.job.ID, r.job.Phase)
	}
	r.asked = true
	if r.stop == nil { // nobody works on it yet
		r.end(errGivenUp)
		return r.job, nil
	}
	r.stop(errGivenUp)
	return r.job, nil
}

// Get returns the newest job, or an error when it is not the one asked for.
func (r *Rebuilds) Get(id string) (wire.RebuildJob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != "" && id == r.former.ID {
		return r.former, nil
	}
	if r.job.ID == "" || id != "" && id != r.job.ID {
		return wire.RebuildJob{}, r.unknown(id)
	}
	job := r.job
	job.Steps = append([]wire.JobStep(nil), r.job.Steps...)
	return job, nil
}

// Running tells whether a job is under way and not asked to end.
func (r *Rebuilds) Running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.job.ID != "" && !r.job.Final
}

// GivenUp tells whether the operator wants the job, or the last one, not to go on.
func (r *Rebuilds) GivenUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// Forget lets the supervisor decide by itself again.
func (r *Rebuilds) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = r.asked && !r.job.Final
}

// Rate is that of the last whole copy, in bytes a second; 0 when there was none.
func (r *Rebuilds) Rate() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rate
}

func (r *Rebuilds) unknown(id string) error {
	if id == "" {
		return errors.New("no rebuild is known here: rebuilds are known on the server that is rebuilt")
	}
	return fmt.Errorf("no rebuild %s is known here", id)
}
