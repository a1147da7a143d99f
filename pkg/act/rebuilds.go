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

	mu     sync.Mutex
	job    wire.RebuildJob
	former wire.RebuildJob // the one before, for those who still follow it
	began  time.Duration
	copied time.Duration // when the present copy began
	stop   context.CancelCauseFunc
	asked  bool // to be given up
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
func LoadRebuilds(path string) (r *Rebuilds, goesOn bool, err error) {
	return LoadRebuildsOn(durable.Machine, path)
}

// LoadRebuildsOn finds it on that disk.
func LoadRebuildsOn(disk durable.Disk, path string) (r *Rebuilds, goesOn bool, err error) {
	var saved savedRebuild
	if err := disk.ReadJSON(path, &saved); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("load rebuild: %w", err)
	}
	r = &Rebuilds{path: path, disk: disk, job: saved.Job, rate: saved.Rate, began: wire.Now()}
	if r.job.ID == "" || r.job.Final {
		return r, false, nil
	}
	if r.job.Automatic {
		return r, false, r.End(errors.New("the supervisor ended; it decides anew"))
	}
	r.job.Note = "the supervisor was restarted and goes on"
	if n := len(r.job.Steps); n > 0 { // the time in between is not known
		r.began -= time.Duration(r.job.Steps[n-1].AtMS * float64(time.Millisecond))
	}
	return r, true, nil
}

// Begin makes a new job; while one is under way that one is returned instead.
func (r *Rebuilds) Begin(plan wire.RebuildPlan, q wire.RebuildRequest, automatic bool) (job wire.RebuildJob, begun bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job.ID != "" && !r.job.Final {
		return r.job, false, nil
	}
	was, before := r.job, r.former
	r.began, r.asked, r.former = wire.Now(), false, r.job
	r.job = wire.RebuildJob{ID: fmt.Sprintf("rebuild-%x", uint64(time.Now().UnixMicro())), Automatic: automatic, Request: q, Plan: plan, Total: plan.Bytes}
	r.enter(wire.RebuildWaiting)
	if err := r.save(); err != nil { // as on a full disk: it has not begun
		r.job, r.former = was, before
		return was, false, err
	}
	return r.job, true, nil
}

// Enter goes on to the next phase, unless the operator has given the job up.
func (r *Rebuilds) Enter(phase string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked && !r.job.Committed {
		return errGivenUp
	}
	r.enter(phase)
	return r.save()
}

// Commit passes the point of no return: what was here is being replaced.
func (r *Rebuilds) Commit(phase string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked && !r.job.Committed {
		return errGivenUp
	}
	r.job.Committed = true
	r.enter(phase)
	return r.save()
}

func (r *Rebuilds) enter(phase string) {
	r.job.Phase = phase
	r.job.Steps = append(r.job.Steps, wire.JobStep{Phase: phase, AtMS: float64((wire.Now()-r.began)/time.Microsecond) / 1e3})
}

func (r *Rebuilds) save() error {
	return r.disk.WriteJSON(r.path, savedRebuild{r.job, r.rate}, 0o600)
}

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
	if r.asked && !r.job.Committed {
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
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end(why)
}

func (r *Rebuilds) end(why error) error {
	if r.job.ID == "" || r.job.Final {
		return nil
	}
	r.job.Final, r.job.Seconds = true, 0
	switch {
	case why == nil:
		r.asked = false
		r.enter(wire.RebuildDone)
	case errors.Is(why, errGivenUp), r.asked && !r.job.Committed: // whatever it was cut off in says
		r.enter(wire.RebuildGivenUp)
	default:
		r.job.Error = why.Error()
		r.enter(wire.RebuildFailed)
	}
	err := r.save()
	r.unsaved = err != nil
	return err
}

// SaveEnd saves the end of a job that could not be saved when it came. Until then a
// supervisor that is started again takes the job up once more.
func (r *Rebuilds) SaveEnd() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unsaved && r.job.Final && r.save() == nil {
		r.unsaved = false
	}
}

// GiveUp asks the job to end. Nothing is lost by that before its point of no return.
func (r *Rebuilds) GiveUp(id string) (wire.RebuildJob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.job.ID == "" || id != "" && id != r.job.ID:
		return wire.RebuildJob{}, r.unknown(id)
	case r.job.Final:
		return r.job, fmt.Errorf("rebuild %s has ended: %s", r.job.ID, r.job.Phase)
	case r.job.Committed:
		return r.job, fmt.Errorf("rebuild %s is past its point of no return (%s): what was here is being replaced, and only the end of it makes this server whole", r.job.ID, r.job.Phase)
	}
	r.asked = true
	if r.stop == nil { // nobody works on it yet
		err := r.end(errGivenUp)
		return r.job, err
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
