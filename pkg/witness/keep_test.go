package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// open makes a witness in this process; asking it directly is what Serve does.
func open(t *testing.T, dir string) *Witness {
	t.Helper()
	w, err := New(Config{Records: dir, HeartbeatTimeout: time.Minute, Version: "v1", Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { w.unlock() })
	return w
}

func (w *Witness) ask(pairName, name, kind string, body any) (any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return w.Handle(context.Background(), wire.Identity{Pair: pairName, Name: name}, kind, text)
}

func (w *Witness) detach(pairName string, from record.Revision) error {
	_, err := w.ask(pairName, "server1", wire.KindChange,
		wire.ChangeRequest{Change: record.Change{Transition: record.Detach, By: "server1", To: "server1", From: from}})
	return err
}

// found gives a pair a record as two new servers do; it is at revision 2.
func (w *Witness) found(t *testing.T, pairName string) {
	t.Helper()
	for name, own := range map[string]record.Record{"server1": record.First(pairName, "server1"), "server2": {}} {
		_, err := w.ask(pairName, name, wire.KindReport, wire.WitnessReport{Postgres: wire.WitnessUp, Known: own})
		must(t, err)
	}
}

func TestCorruptRecordStopsItsOwnPairOnly(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"pair": "bad", "te`, "zeros": "\x00\x00\x00",
		"of another pair": `{"pair": "good", "term": 1, "primary": "server1", "mode": "alone", "revision": 1}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "bad.json")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		w := open(t, dir)
		w.found(t, "good")
		must(t, w.detach("good", 2))
		for _, kind := range []string{wire.KindRead, wire.KindChange, wire.KindReport} {
			_, err := w.ask("bad", "server1", kind, struct{}{})
			if err == nil && kind == wire.KindChange {
				t.Errorf("%s: changed", name)
			}
			if kind == wire.KindChange {
				continue // refused for its empty names before the record is looked at
			}
			if err == nil || !strings.Contains(err.Error(), path) || errors.Is(err, wire.ErrRefused) {
				t.Errorf("%s: %s answered %v", name, kind, err)
			}
		}
		if err := w.detach("bad", 0); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: change answered %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: the file was touched: %q, %v", name, got, err)
		}
	}
}

// A record that could not be written was not changed, and nobody is told anything
// that a restart could contradict.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	w.found(t, "lab")
	path := filepath.Join(dir, "lab.json")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700)) // even root cannot write there
	err := w.detach("lab", 2)
	if err == nil || errors.Is(err, wire.ErrRefused) || errors.Is(err, record.ErrConflict) {
		t.Errorf("a failed write was answered as %v", err)
	}
	if r, err := w.ask("lab", "server1", wire.KindRead, nil); err == nil {
		t.Errorf("read answered %v although the disk may hold something else", r)
	}
	if v, err := w.ask("lab", "server1", wire.KindReport, wire.WitnessReport{}); err == nil || errors.Is(err, wire.ErrRefused) {
		t.Errorf("a report was answered with %+v, %v", v, err)
	}
	if told := w.status("").Pairs[0].Error; !strings.Contains(told, path) {
		t.Errorf("the status tells %q", told)
	}
	if !w.Beat(wire.Identity{Pair: "lab", Name: "server1"}, wire.Now()) {
		t.Error("whoever was refused is not asked to report again")
	}
	must(t, os.Remove(path))
	_, err = w.ask("lab", "server2", wire.KindReport, wire.WitnessReport{}) // which writes it
	must(t, err)
	if !w.Beat(wire.Identity{Pair: "lab", Name: "server1"}, wire.Now()) {
		t.Error("whoever was refused is not asked to report again when the other one is answered")
	}
	must(t, os.Remove(path))
	w.find("lab").reread()
	r, err := w.ask("lab", "server1", wire.KindRead, nil)
	must(t, err)
	if r.(record.Record).Revision != 2 {
		t.Errorf("the record is %v", r)
	}
	must(t, w.unlock())
	if r, err := open(t, dir).ask("lab", "server1", wire.KindRead, nil); err != nil || r.(record.Record).Revision != 2 {
		t.Errorf("after a restart: %v, %v", r, err)
	}
}

// A record that was put back from a backup, or with the snapshot of a machine: both
// servers know what came after it. Nobody may go by it, after a restart neither.
func TestARecordOlderThanWhatAServerKnowsIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lab.json")
	w := open(t, dir)
	w.found(t, "lab")
	change := func(by, to pair.Server, kind record.Transition, from record.Revision) error {
		_, err := w.ask("lab", string(by), wire.KindChange, wire.ChangeRequest{Change: record.Change{Transition: kind, By: by, To: to, From: from}})
		return err
	}
	must(t, change("server1", "server1", record.Attach, 2))
	old, err := os.ReadFile(path) // paired
	must(t, err)
	must(t, w.detach("lab", 3))
	must(t, w.detach("lab", 4))
	r, err := w.ask("lab", "server1", wire.KindRead, nil)
	must(t, err)
	alone := r.(record.Record)
	must(t, w.unlock())
	must(t, os.WriteFile(path, old, 0o600))

	w = open(t, dir)
	report := func(name string, known record.Record) wire.WitnessView {
		t.Helper()
		v, err := w.ask("lab", name, wire.KindReport, wire.WitnessReport{Postgres: wire.WitnessDown, Known: known})
		must(t, err)
		return v.(wire.WitnessView)
	}
	if v := report("server1", alone); v.Record.Exists() {
		t.Errorf("told %s", v.Record)
	}
	stale := alone
	stale.Revision, stale.Mode = 3, pair.Paired
	w.Gone(wire.Identity{Pair: "lab", Name: "server1"})
	for _, when := range []string{"it was reported", "and a restart"} {
		report("server2", stale)
		if err := change("server2", "server2", record.Failover, 3); !errors.Is(err, wire.ErrRefused) {
			t.Errorf("after %s: a failover by the old record: %v", when, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after %s the old record is on the disk: %v", when, err)
		}
		must(t, w.unlock())
		w = open(t, dir)
	}
	report("server2", alone)
	if v := report("server1", alone); v.Record.Mode != pair.Alone || v.Record.Primary != "server1" || v.Record.Revision < 1000 {
		t.Errorf("found %s", v.Record)
	}
	must(t, w.detach("lab", alone.Revision+1<<20))
}

// A change that was judged by a record which a server outlives before it is written.
func TestAChangeOfARecordThatIsOutlivedMeanwhile(t *testing.T) {
	w := open(t, t.TempDir())
	w.found(t, "lab")
	k := w.find("lab")
	was := k.record
	next, newer := was, was
	next.Revision, newer.Revision = 3, 40
	k.mu.Lock()
	k.outlive("server1", newer)
	k.mu.Unlock()
	if err := k.put(was, next); !errors.Is(err, errOutlived) {
		t.Errorf("it was put: %v", err)
	}
	r, err := k.read()
	must(t, err)
	if _, gone := os.Stat(k.path); r.Exists() || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("the record is %s, its file %v", r, gone)
	}
}

// While a pair's disk write is stuck, heartbeats and reports go on, of all pairs.
func TestSlowDiskHoldsUpChangesOnly(t *testing.T) {
	w := open(t, t.TempDir())
	w.found(t, "lab")
	w.found(t, "shop")
	stuck := w.find("lab")
	stuck.writing.Lock()
	changed := make(chan error, 1)
	go func() { changed <- w.detach("lab", 2) }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		from := wire.Identity{Pair: "lab", Name: "server1"}
		w.Beat(from, wire.Now())
		if _, err := w.ask("lab", "server2", wire.KindReport, wire.WitnessReport{}); err != nil {
			t.Error(err)
		}
		if err := w.detach("shop", 2); err != nil {
			t.Error(err)
		}
		w.status("")
		w.Gone(from)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("held up")
	}
	stuck.writing.Unlock()
	must(t, <-changed)
}

// Whoever asked for a change has given up, and the pair may be another by now.
func TestAChangeThatWaitedTooLongForTheDiskIsRefused(t *testing.T) {
	w := open(t, t.TempDir())
	w.found(t, "lab")
	k := w.find("lab")
	_, err := w.ask("lab", "server2", wire.KindReport, wire.WitnessReport{TimeoutMS: 50})
	must(t, err)
	k.writing.Lock()
	forced := make(chan error, 1)
	go func() {
		_, err := w.ask("lab", "server2", wire.KindChange, wire.ChangeRequest{Change: record.Change{Transition: record.Force, By: "server2", To: "server2", From: k.record.Revision}})
		forced <- err
	}()
	time.Sleep(200 * time.Millisecond)
	k.writing.Unlock()
	if err := <-forced; !errors.Is(err, wire.ErrRefused) || !strings.Contains(err.Error(), "waited") {
		t.Errorf("answered %v", err)
	}
	if r, err := k.read(); err != nil || r.Primary != "server1" {
		t.Errorf("the record is %s, %v", r, err)
	}
	must(t, w.detach("lab", k.record.Revision))
}

func TestNews(t *testing.T) {
	w := open(t, t.TempDir())
	s1, s2 := wire.Identity{Pair: "lab", Name: "server1"}, wire.Identity{Pair: "lab", Name: "server2"}
	report := func(from wire.Identity, postgres string) {
		t.Helper()
		_, err := w.ask(from.Pair, from.Name, wire.KindReport, wire.WitnessReport{Postgres: postgres})
		must(t, err)
	}
	want := func(when string, want1, want2 bool) {
		t.Helper()
		got2, got1 := w.Beat(s2, wire.Now()), w.Beat(s1, wire.Now())
		if got1 != want1 || got2 != want2 {
			t.Errorf("%s: news for server1 %v, for server2 %v; want %v, %v", when, got1, got2, want1, want2)
		}
	}
	want("nobody has reported", true, true)
	report(s1, wire.WitnessUp)
	report(s2, wire.WitnessUp)
	want("no record could be found yet: try again", true, true)
	w.found(t, "lab")
	report(s1, wire.WitnessUp)
	report(s2, wire.WitnessUp)
	want("all told", false, false)
	report(s1, wire.WitnessDown)
	want("server1 is down", false, true)
	report(s1, wire.WitnessUp)
	report(s2, wire.WitnessUp)
	want("all told again", false, false)
	must(t, w.detach("lab", 2))
	want("the record has changed", true, true)
	report(s2, wire.WitnessUp)
	w.Gone(s1)
	want("server1 has gone", true, true)
}

func TestOneWitnessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := New(Config{Records: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "another witness") {
		t.Errorf("a second witness: %v", err)
	}
}

func TestStatusPages(t *testing.T) {
	w := open(t, t.TempDir())
	const pairs = 2*pageSize + 7
	for i := range pairs {
		k := w.keep(fmt.Sprintf("pair%05d", i))
		k.record = record.First(k.pair, "server1")
	}
	seen, after := 0, ""
	for pages := 1; ; pages++ {
		got, err := w.ask("", wire.LocalName, wire.KindStatus, wire.WitnessStatusRequest{After: after})
		must(t, err)
		s := got.(wire.WitnessStatus)
		seen += len(s.Pairs)
		if s.Version != "v1" || s.PID != os.Getpid() {
			t.Errorf("%+v", s)
		}
		if !s.More {
			break
		}
		if after = s.Pairs[len(s.Pairs)-1].Pair; pages > 3 {
			t.Fatal("there is no end of pages")
		}
	}
	if seen != pairs {
		t.Errorf("%d pairs on all pages, want %d", seen, pairs)
	}
}

// A pair that counts its heartbeats in shorter time is judged by its own measure.
func TestEachPairHasItsOwnTimeout(t *testing.T) {
	w := open(t, t.TempDir())
	_, err := w.ask("lab", "server1", wire.KindReport, wire.WitnessReport{Postgres: wire.WitnessUp, TimeoutMS: 50})
	must(t, err)
	s := w.keep("lab").seated("server1")
	if !s.online(s.heard+50*time.Millisecond, time.Hour) || s.online(s.heard+51*time.Millisecond, time.Hour) {
		t.Error("the pair's own timeout does not count")
	}
	s.reported = false
	if !s.online(s.heard+time.Minute, time.Hour) {
		t.Error("without a report the witness's timeout counts")
	}
}

// unsyncable is a disk from which can be read, but nothing can be made sure of.
type unsyncable struct{ Disk }

func (unsyncable) Sync(string) error { return errors.New("input/output error") }

func (unsyncable) WriteJSON(string, any, fs.FileMode) error { return errors.New("input/output error") }

// A record whose writer was killed before the sync of the directory is seen after a
// restart and may be lost with power: nobody is told of it before it is on the disk.
func TestARecordThatIsReadIsOnTheDiskBeforeItIsTold(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	w.found(t, "lab")
	must(t, w.unlock())
	w, err := New(Config{Records: dir, HeartbeatTimeout: time.Minute, Log: slog.New(slog.DiscardHandler), Disk: unsyncable{directory{durable.Machine}}})
	must(t, err)
	t.Cleanup(func() { w.unlock() })
	for _, kind := range []string{wire.KindRead, wire.KindReport} {
		if got, err := w.ask("lab", "server1", kind, struct{}{}); err == nil {
			t.Errorf("%s was answered with %v", kind, got)
		}
	}
}
