package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcctl/pkg/decide"
)

func events(t *testing.T, path string) (all []Event) {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	for line := range strings.Lines(string(b)) {
		var e Event
		ok(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

func TestTheJournalTellsDecisionsAndActions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var log heardLog
	facts := decide.Facts{Record: decide.RecordMine, Task: decide.TaskStop}
	stop := decide.Decide(facts)
	j := openJournal(path, logTo(&log))
	j.decided(stop, facts)
	j.acted(decide.Stop, nil, 1500*time.Microsecond, 1)
	j.acted(decide.Attach, errors.New("the standby has left"), time.Second, 1)
	j.close()
	got := events(t, path)
	if len(got) != 3 {
		t.Fatalf("%d events: %+v", len(got), got)
	}
	if e := got[0]; e.Rule != stop.ID || e.Action != string(decide.Stop) || e.Why != stop.Why || e.Facts["task"] != "stop" || e.Time.IsZero() {
		t.Errorf("the decision: %+v", e)
	}
	if e := got[1]; e.Action != string(decide.Stop) || e.TookMS != 1.5 || e.Error != "" || e.Text != "stop done in 1.5ms" {
		t.Errorf("the action: %+v", e)
	}
	if e := got[2]; e.Error != "the standby has left" || e.Text != "attach failed after 1s: the standby has left" {
		t.Errorf("the failure: %+v", e)
	}
	for _, e := range got {
		if !log.contains(e.Text) {
			t.Errorf("the log lacks %q", e.Text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
}

func TestTheJournalCanBeRotatedAndGoesOnAfterAFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(dir, "events.jsonl")
	var log heardLog
	j := openJournal(path, logTo(&log))
	j.add(Event{Text: "lost"})
	eventually(t, "the failure is told", func() bool { return log.contains("cannot be written") })
	ok(t, os.Mkdir(dir, 0o700))
	j.add(Event{Text: "first"})
	eventually(t, "it is written", func() bool { b, err := os.ReadFile(path); return err == nil && strings.HasSuffix(string(b), "\n") })
	ok(t, os.Rename(path, path+".1"))
	j.add(Event{Text: "second"})
	j.close()
	for name, want := range map[string]string{path + ".1": "first", path: "second"} {
		if got := events(t, name); len(got) != 1 || got[0].Text != want {
			t.Errorf("%s holds %+v, want %q", name, got, want)
		}
	}
}

// A FIFO that nobody reads hangs whoever opens it for writing, as a dead disk does.
func TestAHangingDiskDoesNotHoldTheJournalUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	ok(t, syscall.Mkfifo(path, 0o600))
	var log heardLog
	j := openJournal(path, logTo(&log))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for range 2 * cap(j.lines) {
			j.add(Event{Text: "seen"})
		}
		j.add(Event{Text: "the last one"})
		j.close()
	}()
	received(t, finished)
	if !log.contains("the last one") {
		t.Error("what the disk does not take stands in the log at least")
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // the disk is back
	ok(t, err)
	defer reader.Close()
	var buffer [4096]byte
	go func() { // makes room in the pipe
		for {
			if _, err := reader.Read(buffer[:]); err != nil {
				return
			}
		}
	}()
	received(t, j.ended)
}

// A full disk takes a part of a line; the next event is not to be lost with it.
func TestAnEventAfterATornLineIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	ok(t, os.WriteFile(path, []byte("{}\n"+`{"time":"2026-01`), 0o600))
	var log heardLog
	for range 2 {
		j := openJournal(path, logTo(&log))
		j.acted(decide.Stop, nil, time.Second, 1)
		j.close()
	}
	b, err := os.ReadFile(path)
	ok(t, err)
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) != 4 || lines[1] != `{"time":"2026-01` || !json.Valid([]byte(lines[2])) || !json.Valid([]byte(lines[3])) {
		t.Errorf("%d lines:\n%s", len(lines), b)
	}
}
