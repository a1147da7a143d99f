package act

import (
	"errors"
	"path/filepath"
	"testing"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

func newStore(t *testing.T) *Store {
	dir := t.TempDir()
	return NewStore(func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) })
}

func copyOf(term pair.Term, rev record.Revision, mode pair.Mode) record.Record {
	return record.Record{Pair: "p", Term: term, Primary: "server1", Mode: mode, Revision: rev}
}

func TestJobsTellTheTruthAfterACrash(t *testing.T) {
	r := copyOf(3, 8, pair.Paired)
	for _, c := range []struct {
		name    string
		reach   func(*Jobs)
		settle  record.Record
		phase   string
		settled string
	}{
		{"before the point of no return", func(j *Jobs) { _ = j.Enter(phaseClosing) }, r, phaseFailed, phaseFailed},
		{"after it, and the other opened", func(j *Jobs) { _ = j.Commit() }, record.Record{Term: 4, Primary: "server2"}, phasePromoting, phaseDone},
		{"after it, and the record went another way", func(j *Jobs) { _ = j.Commit() }, record.Record{Term: 5, Primary: "server1"}, phasePromoting, phaseFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t)
			j, err := LoadJobs(st)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Begin("switch", "server1", "server2", r); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Begin("switch", "server1", "server2", r); !errors.Is(err, ErrJobRunning) {
				t.Errorf("a second switch: %v", err)
			}
			c.reach(j)
			j, err = LoadJobs(st) // the supervisor was killed and is back
			if err != nil {
				t.Fatal(err)
			}
			if job, _ := j.Get(""); job.Phase != c.phase {
				t.Errorf("after the crash: %s, want %s", job.Phase, c.phase)
			}
			j.Settle(c.settle, true)
			if job, _ := j.Get(""); job.Phase != c.settled || !job.Final {
				t.Errorf("settled as %s, final %v; want %s", job.Phase, job.Final, c.settled)
			}
		})
	}
}

func TestAJobCanBeGivenUpUntilItsPointOfNoReturn(t *testing.T) {
	j, err := LoadJobs(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.GiveUp(""); err == nil {
		t.Error("there is nothing to give up")
	}
	job, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.GiveUp(job.ID); err != nil {
		t.Error(err)
	}
	err = j.Enter(phaseClosing)
	if !errors.Is(err, errGivenUp) {
		t.Errorf("the next phase was entered: %v", err)
	}
	j.Fail(err)
	if got, _ := j.Get(job.ID); got.Phase != phaseGivenUp || !got.Final {
		t.Errorf("the job is %+v", got)
	}
	job, _ = j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	_ = j.Commit()
	if _, err := j.GiveUp(job.ID); err == nil {
		t.Error("past the point of no return it cannot be given up")
	}
}
