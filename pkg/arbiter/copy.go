package arbiter

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
)

// Copy is a server's own durable copy of the record. It may lag behind, but it never
// goes back: several writers may come late with what they knew.
type Copy struct {
	path string
	disk durable.Disk

	writing sync.Mutex    // held across a write, taken before mu
	unsure  bool          // the file may show another record than last, or lose it with power; guarded by writing
	mu      sync.Mutex    // never held while the disk is waited for: it may hang
	last    record.Record // what the file holds
}

// OpenCopy reads the copy on that disk; no file is no record. Whoever wrote it may have
// been killed before it was on the disk: it is put there now, or else by the next Save,
// which is passed before anything irrevocable.
func OpenCopy(disk durable.Disk, path string) (*Copy, error) {
	if disk == durable.Machine {
		disk = durable.Reserve(path + ".reserve") // no role can change where a copy cannot be saved
	}
	c := &Copy{path: path, disk: disk}
	switch err := disk.ReadJSON(path, &c.last); {
	case err == nil:
		c.unsure = disk.Sync(path) != nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the own copy of the record cannot be read: %w", err)
	}
	return c, nil
}

// KeepRoom makes sure that there is room for the copy also on a full disk.
func (c *Copy) KeepRoom() {
	if r, ok := c.disk.(durable.Reserve); ok {
		r.Keep()
	}
}

// Get is the copy as it is on the disk, or was read from it.
func (c *Copy) Get() record.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Save replaces the copy. It is never replaced by an older one, nor a pledge (T2,
// step 6) by the record that it was made from: that is record.ErrConflict, and the
// file stays.
func (c *Copy) Save(r record.Record) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	last := c.Get()
	pledged := r.Term == last.Term && r.Revision == last.Revision && last.Mode == pair.Paired && r.Mode == pair.Alone
	if last.NewerThan(r) || pledged {
		return fmt.Errorf("save %s: the copy holds %s: %w", r, last, record.ErrConflict)
	}
	if r == last && !c.unsure {
		return nil
	}
	c.unsure = true
	if err := c.disk.WriteJSON(c.path, r, 0o600); err != nil {
		_ = c.putBack()
		return err
	}
	c.unsure = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = r
	return nil
}

// putBack has the file hold what it held before a write that failed: that may be visible all
// the same (durable.WriteFile), and whoever starts next would go by what nobody here does.
func (c *Copy) putBack() error {
	if last := c.Get(); last.Exists() { // what nearly was the first one says no more than its keeper
		if err := c.disk.WriteJSON(c.path, last, 0o600); err != nil {
			return err
		}
	}
	c.unsure = false
	return nil
}

// Settle makes the disk hold what Get says, if that is not sure.
func (c *Copy) Settle() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.unsure {
		return nil
	}
	return c.putBack()
}
