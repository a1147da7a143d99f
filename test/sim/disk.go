package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"mcctl/pkg/record"
)

// disk holds the small files of a host. What is visible may differ from what survives a
// loss of power: after a write that failed or was cut off by a kill, it may be either.
type disk struct {
	w       *World
	visible map[string][]byte
	durable map[string][]byte
	failing bool
	full    bool
	cutOff  func() // the next write is killed between its rename and the sync; nil: it is not
}

func newDisk(w *World) *disk {
	return &disk{w: w, visible: map[string][]byte{}, durable: map[string][]byte{}}
}

// powerLoss leaves what was synced.
func (d *disk) powerLoss() {
	d.w.recordStale = true
	d.visible = map[string][]byte{}
	for name, b := range d.durable {
		d.visible[name] = b
	}
}

// mend ends whatever is wrong with it.
func (d *disk) mend() { d.full, d.failing, d.cutOff = false, false, nil }

// lose empties it: the disk was replaced.
func (d *disk) lose() {
	d.w.recordStale = true
	d.visible, d.durable = map[string][]byte{}, map[string][]byte{}
}

// forget loses a file.
func (d *disk) forget(name string) {
	d.w.recordStale = true
	delete(d.visible, path.Clean(name))
	delete(d.durable, path.Clean(name))
}

// procDisk is the disk as one process writes it (durable.Disk, witness.Disk).
type procDisk struct {
	*disk
	p *process
}

func (d procDisk) ReadJSON(name string, v any) error {
	d.p.enter()
	d.w.recordStale = true
	b, there := d.visible[path.Clean(name)]
	if !there {
		return fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode %s: %w", name, err)
	}
	return nil
}

// WriteJSON is all or nothing, as package durable makes sure; a kill comes before it,
// after it, or when everybody can see it and it is not on the disk yet.
func (d procDisk) WriteJSON(name string, v any, _ fs.FileMode) error {
	d.p.enter()
	d.w.recordStale = true
	name = path.Clean(name)
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	switch {
	case d.full:
		return fmt.Errorf("write %s: %w", name, syscall.ENOSPC)
	case d.failing:
		if d.w.chance(0.3) { // the rename came through, the sync of the directory did not
			d.visible[name] = b
		}
		return fmt.Errorf("write %s: %w", name, syscall.EIO)
	case d.w.bugs.forgets(name, v):
		return nil
	}
	d.visible[name] = b
	if after := d.cutOff; after != nil {
		d.cutOff = nil
		d.p.killedIn("the write of " + name)
		after()
		panic(killed{})
	}
	d.durable[name] = b
	d.w.ledger.recordChanged()
	return nil
}

func (d procDisk) Sync(name string) error {
	d.p.enter()
	name = path.Clean(name)
	switch {
	case d.failing:
		return fmt.Errorf("sync %s: %w", name, syscall.EIO)
	case d.w.bugs.unsynced:
		return nil
	}
	d.w.recordStale = true
	d.durable[name] = d.visible[name]
	d.w.ledger.recordChanged()
	return nil
}

func (d procDisk) Remove(name string) error {
	d.p.enter()
	if d.failing {
		return fmt.Errorf("remove %s: %w", name, syscall.EIO)
	}
	d.forget(name)
	return nil
}

// Open takes a directory. One witness runs at a time here.
func (d procDisk) Open(dir string) (files []string, release func() error, err error) {
	d.p.enter()
	for name := range d.visible {
		if path.Dir(name) == path.Clean(dir) {
			files = append(files, path.Base(name))
		}
	}
	slices.Sort(files)
	return files, func() error { return nil }, nil
}

// record is the record in a file, for the checkers; zero when there is none.
func (d *disk) record(name string) (r record.Record) {
	if b, there := d.durable[path.Clean(name)]; there {
		_ = json.Unmarshal(b, &r) // what cannot be read is none
	}
	return r
}
