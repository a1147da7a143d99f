package act

import (
	"errors"
	"io/fs"
	"sync"

	"mcctl/pkg/durable"
	"mcctl/pkg/wire"
)

// Store is what a supervisor must not forget beside its copy of the record: the
// operator's wishes and the newest job. Everything lies in the management directory.
type Store struct {
	Wishes string // wishes.json
	Job    string // job.json
	Disk   durable.Disk

	mu sync.Mutex
}

// NewStore names the files below the management directory.
func NewStore(path func(...string) string) *Store {
	return &Store{Wishes: path("wishes.json"), Job: path("job.json"), Disk: durable.Machine}
}

// Wishes are the operator's switches that outlive a restart.
type Wishes struct {
	FailoverOff bool `json:"failover_off"`
	Held        bool `json:"attach_held"`
	PeerResting bool `json:"peer_resting"`
	// PeerFailoverOff is the other server's last word; an older file has none.
	PeerFailoverOff bool `json:"peer_failover_off,omitempty"`
	// LeftDown: PostgreSQL was down when the operator started the supervisor alone, and
	// nobody has started it since.
	LeftDown bool `json:"left_down,omitempty"`
}

// SaveWishes writes the operator's switches.
func (st *Store) SaveWishes(w Wishes) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.Disk.WriteJSON(st.Wishes, w, 0o600)
}

// LoadWishes reads them; no file is no wish.
func (st *Store) LoadWishes() (w Wishes, err error) {
	err = st.load(st.Wishes, &w)
	return w, err
}

// SaveJob writes the newest job.
func (st *Store) SaveJob(j wire.Job) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.Disk.WriteJSON(st.Job, j, 0o600)
}

// LoadJob reads it; no file is no job.
func (st *Store) LoadJob() (j wire.Job, err error) {
	err = st.load(st.Job, &j)
	return j, err
}

func (st *Store) load(path string, v any) error {
	err := st.Disk.ReadJSON(path, v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
