package witness

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"mcctl/pkg/durable"
	"mcctl/pkg/record"
)

// The files beside the records: one is written again and again, the other keeps room.
const (
	tryFile     = "try"
	reserveFile = "reserve"
)

const (
	// tryPace is the pause between two tries, tryPatience how long one may take.
	tryPace     = 5 * time.Second
	tryPatience = 5 * time.Second
	// rereadTurns is in which of the tries all records are read again.
	rereadTurns = 12
)

// tries is how the disk of the records does while nothing has to be written: a witness
// that could not write a change shall be seen before the failover that needs it.
type tries struct {
	mu    sync.Mutex
	begun time.Duration // by the clock; 0 while none is under way
	err   error         // of the last one
}

// trouble is why a change could not be written now; empty when it could.
func (t *tries) trouble(now time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.begun > 0 && now-t.begun > tryPatience:
		return "the disk of the witness's records does not answer"
	case t.err != nil:
		return fmt.Sprintf("the witness cannot write beside its records: %v", t.err)
	}
	return ""
}

func (t *tries) begin(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = now
}

func (t *tries) end(err error) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news = (err == nil) != (t.err == nil)
	t.begun, t.err = 0, err
	return news
}

// watchDisk tries the disk until ctx ends. It is beside everything else, and may hang.
func (w *Witness) watchDisk(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		w.tryDisk(turn%rereadTurns == rereadTurns-1)
		w.cfg.Clock.Wait(ctx, tryPace, nil)
	}
}

func (w *Witness) tryDisk(reread bool) {
	w.tries.begin(w.cfg.Clock.Now())
	err := w.cfg.Disk.WriteJSON(filepath.Join(w.cfg.Records, tryFile), struct{}{}, 0o600)
	if r, keeps := w.disk.(durable.Reserve); keeps && err == nil {
		r.Keep()
	}
	for _, k := range w.all() {
		if reread || k.inDoubt() {
			k.reread()
		}
	}
	switch news := w.tries.end(err); {
	case news && err != nil:
		w.cfg.Log.Error("the disk of the records cannot be written", "error", err)
	case news:
		w.cfg.Log.Info("the disk of the records can be written again")
	}
}

func (w *Witness) all() (all []*keep) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, k := range w.pairs {
		all = append(all, k)
	}
	return all
}

// reread writes the record again where its file has gone or holds something else: this
// witness has held the directory all the time, and a restart would go by the file.
func (k *keep) reread() {
	if !k.writing.TryLock() {
		return // a change writes it
	}
	defer k.writing.Unlock()
	r, err := k.settled()
	if err != nil || !r.Exists() {
		return
	}
	var there record.Record
	if err := k.disk.ReadJSON(k.path, &there); err == nil && there == r {
		return
	}
	k.log.Error("the file of the record has gone or was changed; it is written again", "pair", k.pair, "record", r.String(), "file", there.String())
	_ = k.put(r, r) // what failed is told by put and tried again
}
