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
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mcctl/pkg/clock"
	"mcctl/pkg/durable"
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
	// Clock and Disk are this machine's unless given.
	Clock clock.Clock
	Disk  Disk
}

// Disk is where the records lie.
type Disk interface {
	durable.Disk
	// Open takes the directory for this witness alone until close, and lists its files.
	Open(dir string) (files []string, close func() error, err error)
}

// Witness keeps records. It is a wire.Handler.
type Witness struct {
	cfg     Config
	started time.Duration // by the clock
	unlock  func() error  // the directory
	disk    durable.Disk  // of the records: cfg.Disk, with room kept on this machine's
	tries   tries

	mu    sync.RWMutex
	pairs map[string]*keep
}

// New loads the records. Only one witness can have a directory: a second one is an
// error. A record that cannot be read makes its own pair fail, not the others.
func New(cfg Config) (*Witness, error) {
	cfg.Clock = clock.Or(cfg.Clock)
	w := &Witness{cfg: cfg, started: cfg.Clock.Now(), pairs: map[string]*keep{}}
	if cfg.Disk == nil {
		w.cfg.Disk, w.disk = directory{durable.Machine}, durable.Reserve(filepath.Join(cfg.Records, reserveFile))
	} else {
		w.disk = cfg.Disk
	}
	files, unlock, err := w.cfg.Disk.Open(cfg.Records)
	if err != nil {
		return nil, err
	}
	w.unlock = unlock
	w.load(files)
	return w, nil
}

func (w *Witness) load(files []string) {
	for _, file := range files {
		name, ok := strings.CutSuffix(file, suffix)
		if !ok || !wire.ValidName(name) {
			continue
		}
		k := w.keep(name)
		if err := k.load(); err != nil {
			w.cfg.Log.Error("a record cannot be read; its pair gets no answers", "pair", name, "error", err)
		}
	}
	w.cfg.Log.Info("records loaded", "directory", w.cfg.Records, "pairs", len(w.pairs))
}

// Run answers on all listeners until ctx ends or one of them breaks, and then lets
// the records go. It is called once.
func (w *Witness) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.watchDisk(ctx) // it may hang with the disk: nobody waits for its end
	ends := make(chan error, len(listeners))
	for _, ln := range listeners {
		go func() { ends <- wire.Serve(ctx, ln, w) }()
	}
	var err error
	for range listeners {
		err = errors.Join(err, <-ends)
		cancel()
	}
	return errors.Join(err, w.unlock())
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
		k = &keep{pair: pair, path: filepath.Join(w.cfg.Records, pair+suffix), disk: w.disk, log: w.cfg.Log}
		w.pairs[pair] = k
	}
	return k
}
