package witness

import (
	"errors"
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
	// unfound is why the servers' knowledge gave no record, as last told. Guarded by writing.
	unfound string

	mu     sync.Mutex // never held across anything slow
	record record.Record
	broken error // why this pair gets no answers
	// doubt is why the disk may hold another record than this: a restart would show one
	// that nobody was told of, or that is known to be out of date.
	doubt error
	seats []*seat
}

// load reads the record from disk. The witness that wrote it may have been killed
// before it was there for good: it is made so, which needs no room, before it is told.
func (k *keep) load() error {
	var r record.Record
	err := k.disk.ReadJSON(k.path, &r)
	if err == nil && (r.Pair != k.pair || !r.Exists()) {
		err = fmt.Errorf("%s holds no record of pair %s but: pair %q, %s", k.path, k.pair, r.Pair, r)
	}
	var doubt error
	if err == nil {
		doubt = k.disk.Sync(k.path)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record, k.broken, k.doubt = r, err, doubt
	return err
}

// now is the record, or why there is no answer.
func (k *keep) now() (record.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return record.Record{}, fmt.Errorf("the witness has no answer for pair %s; remove that file, so that the record is found again from what the servers know, and restart the witness: %w", k.pair, k.broken)
	}
	return k.record, nil
}

// read is the record as it is on the disk too. It waits for a change under way.
func (k *keep) read() (record.Record, error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	return k.settled()
}

// settled is the record when the disk agrees with it: after a write that failed it is
// made to. Until it does, nobody gets an answer that a restart could contradict. Called
// with writing held.
func (k *keep) settled() (record.Record, error) {
	r, err := k.now()
	if err != nil || !k.inDoubt() {
		return r, err
	}
	if !r.Exists() {
		err = k.disk.Remove(k.path)
	} else {
		err = k.disk.WriteJSON(k.path, r, 0o600)
	}
	if err != nil {
		return record.Record{}, err
	}
	return r, k.become(r, r)
}

func (k *keep) inDoubt() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.doubt != nil
}

// put makes next the record, on the disk first. Called with writing held.
func (k *keep) put(was, next record.Record) error {
	if err := k.disk.WriteJSON(k.path, next, 0o600); err != nil {
		k.mu.Lock()
		k.doubt = err
		k.mu.Unlock()
		k.log.Error("the record could not be written; the pair keeps the old one", "pair", k.pair, "error", err)
		return err
	}
	return k.become(was, next)
}

// become notes that next is on the disk in the place of was, which a server may meanwhile
// have shown to be out of date.
func (k *keep) become(was, next record.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.record != was {
		return k.doubt
	}
	k.record, k.doubt = next, nil
	return nil
}

var errOutlived = errors.New("the record is older than what a server of the pair knows: changes were lost")

// outlive forgets a record that is older than what a server knows: whatever it says, who
// goes by it may lack acknowledged commits, or reign beside another. It is found again as
// if there were none. A closed one may be older, as when the pair comes back. Called with
// mu held.
func (k *keep) outlive(name string, known record.Record) {
	if k.record.Exists() && k.record.Moved == "" && known.NewerThan(k.record) {
		k.log.Error(errOutlived.Error(), "pair", k.pair, "record", k.record.String(), "server", name, "known", known.String())
		k.record, k.doubt = record.Record{}, errOutlived
	}
}
