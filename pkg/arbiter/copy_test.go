package arbiter

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

func TestACopyNeverGoesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	own, err := OpenCopy(durable.Machine, path)
	must(t, err)
	of := func(term pair.Term, rev record.Revision, mode pair.Mode) record.Record {
		return record.Record{Pair: "p", Term: term, Primary: "server1", Mode: mode, Revision: rev}
	}
	for _, c := range []struct {
		r     record.Record
		saved bool
	}{
		{of(1, 4, pair.Alone), true},
		{of(1, 4, pair.Paired), true}, // the pledge of an attach
		{of(1, 4, pair.Alone), false}, // what the pledge was made from
		{of(1, 5, pair.Paired), true},
		{of(1, 4, pair.Paired), false},
		{of(1, 6, pair.Alone), true},
		{of(2, 1, pair.Alone), true},
		{of(1, 9, pair.Paired), false},
	} {
		before := own.Get()
		err := own.Save(c.r)
		want := before
		if c.saved {
			want = c.r
		}
		if (err == nil) != c.saved || (err != nil && !errors.Is(err, record.ErrConflict)) || own.Get() != want {
			t.Errorf("save %s over %s: %v, holds %s", c.r, before, err, own.Get())
		}
		again, err := OpenCopy(durable.Machine, path)
		if err != nil || again.Get() != want {
			t.Errorf("on disk: %v, %v; want %s", again, err, want)
		}
	}
}

func TestATornCopyIsNotNoCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := OpenCopy(durable.Machine, path); err == nil {
		t.Error("a torn copy was taken for none")
	}
}

// slowDisk is this machine's, but a write waits until it is let go on.
type slowDisk struct {
	durable.Disk
	begun, goOn chan struct{}
}

func (d slowDisk) WriteJSON(path string, v any, mode fs.FileMode) error {
	close(d.begun)
	<-d.goOn
	return d.Disk.WriteJSON(path, v, mode)
}

// The supervisor's loop asks for the copy at every turn where the copy is the record.
func TestACopyIsToldWhileTheDiskHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	d := slowDisk{durable.Machine, make(chan struct{}), make(chan struct{})}
	own, err := OpenCopy(d, path)
	must(t, err)
	saved := make(chan error, 1)
	go func() { saved <- own.Save(pairedRecord) }()
	<-d.begun
	told := make(chan record.Record, 1)
	go func() {
		keeper := NewLocal(Machine, own, "server1", nobody)
		r, _, _ := keeper.Seen()
		told <- r
	}()
	select {
	case r := <-told:
		if r.Exists() {
			t.Errorf("it tells %s, which is not on the disk yet", r)
		}
	case <-time.After(10 * time.Second):
		t.Error("who asks for the copy waits for the disk")
	}
	close(d.goOn)
	must(t, <-saved)
	if own.Get() != pairedRecord {
		t.Errorf("it holds %s", own.Get())
	}
}

// unsynced is a disk whose last writer was killed before its write was there for good.
type unsynced struct {
	durable.Disk
	bad            bool
	synced, writes int
}

func (d *unsynced) Sync(string) error {
	if d.bad {
		return errors.New("input/output error")
	}
	d.synced++
	return nil
}

func (d *unsynced) WriteJSON(path string, v any, mode fs.FileMode) error {
	d.writes++
	return d.Disk.WriteJSON(path, v, mode)
}

// A pledge that is seen may be lost with power: it is put on the disk before the record
// becomes paired by it, and a disk that fails keeps no supervisor from starting.
func TestACopyThatIsReadIsOnTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	must(t, durable.WriteJSON(path, pairedRecord, 0o600))
	good, bad := &unsynced{Disk: durable.Machine}, &unsynced{Disk: durable.Machine, bad: true}
	own, err := OpenCopy(good, path)
	must(t, err)
	must(t, own.Save(pairedRecord))
	if good.synced != 1 || good.writes != 0 {
		t.Errorf("synced %d times, written %d times", good.synced, good.writes)
	}
	own, err = OpenCopy(bad, path)
	must(t, err)
	for range 2 {
		must(t, own.Save(pairedRecord))
	}
	if bad.writes != 1 {
		t.Errorf("what could not be synced is written %d times", bad.writes)
	}
}

// halfWritten is a disk on which writes that fail are visible all the same.
type halfWritten struct {
	durable.Disk
	fails int
}

func (d *halfWritten) WriteJSON(path string, v any, mode fs.FileMode) error {
	if err := d.Disk.WriteJSON(path, v, mode); err != nil || d.fails == 0 {
		return err
	}
	d.fails--
	return errors.New("input/output error")
}

// A pledge that could not be saved was never given: the names go out of use again, and a
// start that read it would hand over to a standby that lacks what was acknowledged since.
func TestAWriteThatFailedIsNotWhatTheNextStartReads(t *testing.T) {
	alone := pairedRecord
	alone.Mode = pair.Alone
	for _, c := range []struct {
		name  string
		fails int
		after func(*Copy) error
	}{
		{"it is put back at once", 1, func(*Copy) error { return nil }},
		{"it is put back when the disk serves again", 2, (*Copy).Settle},
		{"or when it is saved again", 2, func(own *Copy) error { return own.Save(alone) }},
	} {
		path := filepath.Join(t.TempDir(), "record.json")
		must(t, durable.WriteJSON(path, alone, 0o600))
		disk := &halfWritten{Disk: durable.Machine}
		own, err := OpenCopy(disk, path)
		must(t, err)
		disk.fails = c.fails
		if err := own.Save(pairedRecord); err == nil || own.Get() != alone {
			t.Errorf("%s: %v, and it holds %s", c.name, err, own.Get())
		}
		if unsure := c.fails > 1; own.unsure != unsure {
			t.Errorf("%s: unsure %t", c.name, own.unsure)
		}
		must(t, c.after(own))
		next, err := OpenCopy(durable.Machine, path)
		must(t, err)
		if own.unsure || next.Get() != alone {
			t.Errorf("%s: the next start reads %s; unsure %t", c.name, next.Get(), own.unsure)
		}
	}
}
