package act

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
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
		name   string
		settle record.Record
		phase  string
	}{
		{"the record was not changed", r, phaseFailed},
		{"it was, and the other opened", record.Record{Term: 4, Primary: "server2"}, phaseDone},
		{"it went another way", record.Record{Term: 5, Primary: "server1"}, phaseFailed},
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
			if _, err := j.Begin("switch", "server1", "server2", r); !errors.Is(err, ErrJobRunning) || !errors.Is(err, wire.ErrRefused) {
				t.Errorf("a second switch: %v", err)
			}
			j.Settle(r, true, true)
			if job, _ := j.Get(""); job.Final {
				t.Errorf("a job under way was ended: %+v", job)
			}
			j, err = LoadJobs(st) // the supervisor was killed and is back
			if err != nil {
				t.Fatal(err)
			}
			if job, _ := j.Get(""); job.Final {
				t.Errorf("ended before the record was asked: %+v", job)
			}
			j.Settle(r, true, false) // as it was read before the job was left to it
			if job, _ := j.Get(""); job.Final {
				t.Errorf("ended by a record of before: %+v", job)
			}
			j.Settle(c.settle, true, true)
			if job, _ := j.Get(""); job.Phase != c.phase || !job.Final {
				t.Errorf("settled as %s, final %v; want %s", job.Phase, job.Final, c.phase)
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
	j.Commit()
	if _, err := j.GiveUp(job.ID); err == nil {
		t.Error("past the point of no return it cannot be given up")
	}
	forced := j.Forced("server2", 5, false)
	if _, err := j.GiveUp(forced.ID); err == nil || !strings.Contains(err.Error(), "the record's to tell") {
		t.Errorf("what is the record's to tell was given up: %v", err)
	}
}

// The other server opens while this one still saves its copy: what the record has told is
// not taken back.
func TestASwitchThatIsDoneStaysDone(t *testing.T) {
	j, err := LoadJobs(newStore(t))
	ok(t, err)
	job, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	ok(t, err)
	ok(t, j.Enter(phaseHandingOver))
	j.Settle(record.Record{Term: 4, Primary: "server2"}, true, false)
	j.Commit()
	if got, _ := j.Get(job.ID); !got.Final || got.Phase != phaseDone {
		t.Errorf("the job is %+v", got)
	}
}

// What is dropped as not begun may have begun, and handed over, while somebody looked.
func TestOnlyAJobThatHasNotBegunIsDropped(t *testing.T) {
	j, err := LoadJobs(newStore(t))
	ok(t, err)
	why := errors.New("it was not begun")
	job, err := j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	ok(t, err)
	ok(t, j.Enter(phaseCheckpoint))
	j.Drop(why)
	j.Commit()
	j.Drop(why)
	if got, _ := j.Get(job.ID); got.Final || got.Phase != phasePromoting {
		t.Errorf("the job is %+v", got)
	}
	j, err = LoadJobs(newStore(t))
	ok(t, err)
	job, err = j.Begin("switch", "server1", "server2", copyOf(3, 8, pair.Paired))
	ok(t, err)
	j.Drop(why)
	if got, _ := j.Get(job.ID); got.Phase != phaseFailed || got.Error != why.Error() {
		t.Errorf("a job that was not begun is %+v", got)
	}
	fails(t, j.Enter(phaseCheckpoint), why.Error())
}

// A job that cannot be saved, as on a full disk, has not begun, and stands in nobody's way.
func TestAJobThatCannotBeSavedHasNotBegun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	j, err := LoadJobs(NewStore(func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }))
	ok(t, err)
	r, _, err := LoadRebuilds(durable.Machine, filepath.Join(dir, "rebuild.json"))
	ok(t, err)
	_, err = j.Begin("switch", "server1", "server2", copyOf(1, 2, pair.Paired))
	fails(t, err, "job.json")
	_, _, err = r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	fails(t, err, "rebuild.json")
	if _, err := j.Get(""); err == nil || r.Running() {
		t.Errorf("they count as begun: %v, %v", err, r.Running())
	}
	ok(t, os.Mkdir(dir, 0o700))
	_, err = j.Begin("switch", "server1", "server2", copyOf(1, 2, pair.Paired))
	ok(t, err)
	_, begun, err := r.Begin(wire.RebuildPlan{}, wire.RebuildRequest{}, false)
	ok(t, err)
	if !begun {
		t.Error("with room again no rebuild begins")
	}
}
