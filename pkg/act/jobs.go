package act

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// kindForce is that of a switch which an operator forced.
const kindForce = "force"

// Phases of a switch.
const (
	phaseChecking    = "checking"
	phaseCheckpoint  = "checkpoint"
	phaseClosing     = "closing"
	phaseHandingOver = "handing-over"
	phasePromoting   = "promoting"
	phaseDone        = "done"
	phaseFailed      = "failed"
	phaseGivenUp     = "given-up"
)

// ErrJobRunning refuses a second job.
var ErrJobRunning = fmt.Errorf("%w: another switch is under way", wire.ErrRefused)

// errGivenUp is the cause of a job that its operator gave up.
var errGivenUp = errors.New("given up by the operator")

// Jobs holds the newest job. Its begin is on disk before anything is done, its end is
// saved in its time (SaveEnd): after a crash the record tells what became of one that
// has no end.
type Jobs struct {
	store *Store

	writing sync.Mutex // held across a save, taken before mu
	mu      sync.Mutex // never held while the disk is waited for: it may hang
	job     wire.Job
	began   time.Duration
	stop    context.CancelCauseFunc // ends Work
	// quit is why the job is to end before its point of no return.
	quit error
	// cutOff: nobody carries the job on, and its outcome stands in the record.
	cutOff bool
	// unsaved: the job is newer than the disk.
	unsaved bool
}

// LoadJobs finds the job of an earlier life.
func LoadJobs(store *Store) (*Jobs, error) {
	job, err := store.LoadJob()
	if err != nil {
		return nil, fmt.Errorf("load job: %w", err)
	}
	return &Jobs{store: store, job: job, began: wire.Now(), cutOff: job.ID != "" && !job.Final}, nil
}

// Begin makes a new job; only one is under way at a time. One that cannot be saved has
// not begun.
func (j *Jobs) Begin(kind string, from, to pair.Server, r record.Record) (wire.Job, error) {
	now, err := j.free()
	if err != nil {
		return now, err
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if now, err = j.free(); err != nil { // one has begun while the disk was waited for
		return now, err
	}
	began := wire.Now()
	job := wire.Job{ID: fmt.Sprintf("%s-%d-%x", kind, r.Term, uint64(began)/1e6), Kind: kind, From: string(from), To: string(to), Term: uint64(r.Term) + 1}
	enter(&job, phaseChecking, began)
	if err := j.store.SaveJob(job); err != nil {
		return now, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.job, j.began, j.quit, j.cutOff, j.unsaved = job, began, nil, false, false
	return job, nil
}

// free returns the newest job, with an error when it is under way.
func (j *Jobs) free() (wire.Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.ID != "" && !j.job.Final {
		return j.job, fmt.Errorf("%w: %s, in phase %s", ErrJobRunning, j.job.ID, j.job.Phase)
	}
	return j.job, nil
}

// Enter goes on to the next phase, unless the operator has given the job up, or it was
// recalled or dropped.
func (j *Jobs) Enter(phase string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.quit != nil && !j.job.Committed {
		return j.quit
	}
	if j.job.Final {
		return fmt.Errorf("the %s has ended: %s", j.job.Kind, j.job.Error)
	}
	j.enter(phase)
	return nil
}

func (j *Jobs) enter(phase string) { enter(&j.job, phase, j.began) }

func enter(job *wire.Job, phase string, began time.Duration) {
	job.Phase = phase
	job.Steps = append(job.Steps, wire.JobStep{Phase: phase, AtMS: float64((wire.Now()-began)/time.Microsecond) / 1e3})
}

// Work hands out a context for what may take long and can be left off at any moment:
// GiveUp and Recall end it, and its cause says why.
func (j *Jobs) Work(ctx context.Context) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop = stop
	if j.quit != nil {
		stop(j.quit)
	}
	return ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.stop = nil
		stop(nil)
	}
}

// recalled is why a job has ended whose conditions were gone: it has disturbed nobody.
type recalled struct{ error }

func (r recalled) Unwrap() error { return r.error }

// Recall ends a job whose conditions are gone. From when the server begins to close, its
// facts say nothing of them, and what began is brought to its end.
func (j *Jobs) Recall(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	early := j.job.Phase == phaseChecking || j.job.Phase == phaseCheckpoint
	if early && !j.cutOff && j.quit == nil {
		j.leaveOff(recalled{why})
	}
}

func (j *Jobs) leaveOff(why error) {
	j.quit = why
	if j.stop != nil {
		j.stop(why)
	}
}

// Commit passes the point of no return. The other server may have opened already, and the
// record have told so.
func (j *Jobs) Commit() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.job.Committed = true
	if !j.job.Final {
		j.enter(phasePromoting)
	}
}

// LeaveToRecord lets the record tell what became of the job: the answer that would
// have told was lost.
func (j *Jobs) LeaveToRecord() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cutOff = true
}

// LeftToRecord tells that only the record can say what becomes of the job.
func (j *Jobs) LeftToRecord() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cutOff && !j.job.Final
}

// ForceLeftToRecord tells that of a switch that an operator forced.
func (j *Jobs) ForceLeftToRecord() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cutOff && !j.job.Final && j.job.Kind == kindForce
}

// Drop ends a job that nobody has begun to carry out. Whoever asks for that may be late:
// one that was begun meanwhile, or has even come to its point of no return, goes on. One
// that is dropped at the moment it begins ends at its first step.
func (j *Jobs) Drop(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.Phase == phaseChecking && !j.cutOff {
		j.end(phaseFailed, why)
	}
}

// Fail ends the job without a switch, unless that is left to the record.
func (j *Jobs) Fail(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.Final || j.cutOff {
		return
	}
	if errors.Is(why, errGivenUp) {
		j.end(phaseGivenUp, nil)
		return
	}
	j.end(phaseFailed, why)
}

func (j *Jobs) end(phase string, why error) {
	j.job.Final = true
	if why != nil {
		j.job.Error = why.Error()
	}
	j.enter(phase)
	j.unsaved = true
}

// SaveEnd saves the end of a job that is not on the disk yet. Whoever asks is told of
// it before.
func (j *Jobs) SaveEnd() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	job, due := j.job, j.unsaved
	j.mu.Unlock()
	if !due {
		return nil
	}
	if err := j.store.SaveJob(job); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unsaved = false
	return nil
}

// Forced makes the job of a switch that an operator forced: it begins past its point of no
// return or, when the keeper's answer was lost, is left to the record. SaveEnd saves it; it
// is shown also when it cannot be saved.
func (j *Jobs) Forced(to pair.Server, term pair.Term, answered bool) wire.Job {
	job := wire.Job{ID: fmt.Sprintf("force-%d", term), Kind: kindForce, To: string(to), Term: uint64(term), Committed: answered}
	phase := phasePromoting
	if !answered {
		phase = phaseHandingOver
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.began = wire.Now()
	enter(&job, phase, j.began)
	j.job, j.quit, j.cutOff, j.unsaved = job, nil, !answered, true
	return job
}

// Settle ends a job whose outcome shows: in the record as the keeper has it now,
// and in whether the server that it names primary is open. A job that was left to the
// record has failed only when the keeper was asked for it since: a change without an answer
// may still be on its way to the keeper's disk.
func (j *Jobs) Settle(r record.Record, open, asked bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.job.ID == "" || j.job.Final:
	case uint64(r.Term) < j.job.Term:
		if j.cutOff && asked {
			j.end(phaseFailed, errors.New("it was cut off before its point of no return: the record was not changed"))
		}
	case string(r.Primary) != j.job.To || uint64(r.Term) > j.job.Term:
		j.end(phaseFailed, fmt.Errorf("the record went another way: %s", r))
	case open:
		j.end(phaseDone, nil)
	}
}

// GiveUp asks a job to end before its point of no return.
func (j *Jobs) GiveUp(id string) (wire.Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.job.ID == "" || (id != "" && id != j.job.ID):
		return wire.Job{}, unknownJob(id)
	case j.job.Final:
		return j.job, fmt.Errorf("switch %s has ended: %s", j.job.ID, j.job.Phase)
	case j.job.Committed:
		return j.job, fmt.Errorf("switch %s is past its point of no return", j.job.ID)
	case j.cutOff:
		return j.job, fmt.Errorf("whether switch %s takes place is the record's to tell: it was cut off while the arbiter was asked", j.job.ID)
	}
	j.leaveOff(errGivenUp)
	return j.job, nil
}

// Get returns the newest job, or an error when it is not the one asked for.
func (j *Jobs) Get(id string) (wire.Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.ID == "" || (id != "" && id != j.job.ID) {
		return wire.Job{}, unknownJob(id)
	}
	job := j.job
	job.Steps = append([]wire.JobStep(nil), j.job.Steps...)
	return job, nil
}

func unknownJob(id string) error {
	if id == "" {
		return errors.New("no switch is known here")
	}
	return fmt.Errorf("no switch %s is known here", id)
}
