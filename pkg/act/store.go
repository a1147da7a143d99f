package act

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"mcctl/pkg/durable"
	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// Store is what a supervisor must not forget: its copy of the record, the
// operator's wishes and the newest job. Everything lies in the management directory.
type Store struct {
	Copy   string // record.json
	Wishes string // wishes.json
	Job    string // job.json

	mu   sync.Mutex
	last record.Record // what Copy holds
}

// NewStore names the files below the management directory.
func NewStore(path func(...string) string) *Store {
	return &Store{Copy: path("record.json"), Wishes: path("wishes.json"), Job: path("job.json")}
}

// Wishes are the operator's switches that outlive a restart.
type Wishes struct {
	FailoverOff bool `json:"failover_off"`
	Held        bool `json:"attach_held"`
	PeerResting bool `json:"peer_resting"`
}

// SaveCopy writes the own copy of the record. A copy is never replaced by an older
// one, nor a pledge (T2, step 6) by the record it was made from, whoever comes late:
// that is record.ErrConflict, and the file stays.
func (st *Store) SaveCopy(r record.Record) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	pledged := r.Term == st.last.Term && r.Revision == st.last.Revision && st.last.Mode == pair.Paired && r.Mode == pair.Alone
	if st.last.NewerThan(r) || pledged {
		return fmt.Errorf("save %s: the copy holds %s: %w", r, st.last, record.ErrConflict)
	}
	if r == st.last {
		return nil
	}
	if err := durable.WriteJSON(st.Copy, r, 0o600); err != nil {
		return err
	}
	st.last = r
	return nil
}

// LoadCopy reads it once, at the start; no file is no record.
func (st *Store) LoadCopy() (record.Record, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	err := load(st.Copy, &st.last)
	return st.last, err
}

// OwnCopy is the copy as it is on the disk.
func (st *Store) OwnCopy() record.Record {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.last
}

// SaveWishes writes the operator's switches.
func (st *Store) SaveWishes(w Wishes) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return durable.WriteJSON(st.Wishes, w, 0o600)
}

// LoadWishes reads them; no file is no wish.
func (st *Store) LoadWishes() (w Wishes, err error) {
	err = load(st.Wishes, &w)
	return w, err
}

// SaveJob writes the newest job.
func (st *Store) SaveJob(j wire.Job) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return durable.WriteJSON(st.Job, j, 0o600)
}

// LoadJob reads it; no file is no job.
func (st *Store) LoadJob() (j wire.Job, err error) {
	err = load(st.Job, &j)
	return j, err
}

func load(path string, v any) error {
	err := durable.ReadJSON(path, v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
