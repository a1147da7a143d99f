// Package witness is the arbiter process: on any third host it keeps the records of
// many pairs, changes them by compare-and-swap, and tells each server whether the
// other one is heard. A record is on the disk before its change is answered.
//
// It decides nothing by itself: package record judges every change, and the servers
// propose. It never connects to anybody, does not know PostgreSQL, and which pair and
// server somebody is comes from the certificate alone. Run by cli; its clients are
// the witness keepers of package arbiter.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mcctl/pkg/wire"
)

// suffix of a record's file; what is before it is the pair's name.
const suffix = ".json"

// Config says how a witness works.
type Config struct {
	// Records is the directory of the records. It is made if it is not there.
	Records string
	// HeartbeatTimeout is how long a connected server may be silent and still count
	// as heard. It should be the pairs' own heartbeat timeout.
	HeartbeatTimeout time.Duration
	Version          string
	Log              *slog.Logger
}

// Witness keeps records. It is a wire.Handler.
type Witness struct {
	cfg     Config
	started time.Duration // wire.Now
	lock    *os.File      // of the directory

	mu    sync.RWMutex
	pairs map[string]*keep
}

// New loads the records. Only one witness can have a directory: a second one is an
// error. A record that cannot be read makes its own pair fail, not the others.
func New(cfg Config) (*Witness, error) {
	if err := os.MkdirAll(cfg.Records, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of records: %w", err)
	}
	lock, err := lockDir(cfg.Records)
	if err != nil {
		return nil, err
	}
	w := &Witness{cfg: cfg, started: wire.Now(), lock: lock, pairs: map[string]*keep{}}
	if err := w.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return w, nil
}

// lockDir keeps a second witness away from the same records: two could both say yes.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory of records: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another witness is using it; stop that one first")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock directory of records %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func (w *Witness) load() error {
	entries, err := os.ReadDir(w.cfg.Records)
	if err != nil {
		return fmt.Errorf("list records: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || !wire.ValidName(name) {
			continue
		}
		k := w.keep(name)
		if err := k.load(); err != nil {
			w.cfg.Log.Error("a record cannot be read; its pair gets no answers", "pair", name, "error", err)
		}
	}
	w.cfg.Log.Info("records loaded", "directory", w.cfg.Records, "pairs", len(w.pairs))
	return nil
}

// Run answers on all listeners until ctx ends or one of them breaks, and then lets
// the records go. It is called once.
func (w *Witness) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan error, len(listeners))
	for _, ln := range listeners {
		go func() { ends <- wire.Serve(ctx, ln, w) }()
	}
	var err error
	for range listeners {
		err = errors.Join(err, <-ends)
		cancel()
	}
	return errors.Join(err, w.lock.Close())
}

// find is the pair's keep, or nil.
func (w *Witness) find(pair string) *keep {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.pairs[pair]
}

// keep is the pair's keep, made if it is not there.
func (w *Witness) keep(pair string) *keep {
	if k := w.find(pair); k != nil {
		return k
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.pairs[pair]
	if k == nil {
		k = &keep{pair: pair, path: filepath.Join(w.cfg.Records, pair+suffix), log: w.cfg.Log}
		w.pairs[pair] = k
	}
	return k
}
