package witness

import (
	"fmt"
	"log/slog"
	"sync"

	"mcctl/pkg/durable"
	"mcctl/pkg/record"
)

// keep is what the witness has of one pair. There are two locks so that a slow disk
// holds up changes of this pair, but neither heartbeats nor other pairs.
type keep struct {
	pair string
	path string
	disk durable.Disk
	log  *slog.Logger

	writing sync.Mutex // held across disk writes, taken before mu
	// unsure: the last write failed, so the disk may hold a record that nobody was
	// told of, and would show it after a restart. Guarded by writing.
	unsure bool
	// unfound is why the servers' knowledge gave no record, as last told. Guarded by writing.
	unfound string

	mu     sync.Mutex // never held across anything slow
	record record.Record
	broken error // why this pair gets no answers
	seats  []*seat
}

// load reads the record from disk.
func (k *keep) load() error {
	var r record.Record
	err := k.disk.ReadJSON(k.path, &r)
	if err == nil && (r.Pair != k.pair || !r.Exists()) {
		err = fmt.Errorf("%s holds no record of pair %s but: pair %q, %s", k.path, k.pair, r.Pair, r)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record, k.broken = r, err
	return err
}

// now is the record, or why there is no answer.
func (k *keep) now() (record.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return record.Record{}, fmt.Errorf("the witness has no answer for pair %s; restore that file, or remove it to start from what the servers know, and restart the witness: %w", k.pair, k.broken)
	}
	return k.record, nil
}

// read is the record as it is on the disk too. It waits for a change under way.
func (k *keep) read() (record.Record, error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	r, err := k.now()
	if err != nil {
		return r, err
	}
	return r, k.settle(r)
}

// settle makes the disk agree with r again after a write that failed. Until it
// does, nobody gets an answer that a restart could contradict.
func (k *keep) settle(r record.Record) error {
	if !k.unsure {
		return nil
	}
	if !r.Exists() {
		if err := k.disk.Remove(k.path); err != nil {
			return err
		}
	} else if err := k.disk.WriteJSON(k.path, r, 0o600); err != nil {
		return err
	}
	k.unsure = false
	return nil
}

// put makes next the record, on the disk first. Called with writing held.
func (k *keep) put(next record.Record) error {
	if err := k.disk.WriteJSON(k.path, next, 0o600); err != nil {
		k.unsure = true
		k.log.Error("the record could not be written; the pair keeps the old one", "pair", k.pair, "error", err)
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record = next
	return nil
}
