// Package disk is the child process that tries PostgreSQL's disks: it writes and
// syncs a small file on each file system, measures the room there, and tells its
// supervisor a line for each try. A process that touches a hung disk hangs with it,
// perhaps where no signal reaches it; so nothing here is called by the supervisor
// itself, which reads the lines and draws its conclusions from their absence
// (package observe). The command line runs the child (mcctl io-probe).
package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Line is what the child tells: which directories it tries from now on, or how it
// went in one of them.
type Line struct {
	// Paths: the directories, the data directory first. Told only once the links were read,
	// so what is missing is PostgreSQL's no more. WAL is the one among them to which pg_wal
	// leads, or "".
	Paths []string `json:"paths,omitempty"`
	WAL   string   `json:"wal,omitempty"`

	Path  string `json:"path,omitempty"`
	Error string `json:"error,omitempty"`
	// Same is the directory on whose file system Path lies as well. It speaks for both:
	// of this one nothing more is heard until that changes.
	Same string `json:"same,omitempty"`
	Room
}

// Probe says what to try.
type Probe struct {
	Data string // PostgreSQL's data directory
	// Measured is a directory of which the room matters but nothing else: it is not
	// written to. Empty for none.
	Measured string
	File     string // the name of the small file
	Every    time.Duration
	// Pause sleeps. It is passed in, so that it can keep to the supervisor's ticks.
	Pause func(time.Duration)
	Out   io.Writer

	lines   chan Line
	mu      sync.Mutex
	targets []*target
}

// target is one directory. Each has a goroutine of its own, because any of them may
// hang: the kernel holds up that thread only.
type target struct {
	path     string
	measured bool // only
	dropped  bool
	device   uint64 // as seen last; 0: not yet
}

// Run tries until the parent has gone or nobody reads what it tells.
func (p *Probe) Run() error {
	parent := os.Getppid() // before all else: it may be killed in the next moment
	p.lines = make(chan Line)
	go p.find()
	alive := time.NewTicker(max(p.Every, time.Millisecond))
	defer alive.Stop()
	out := json.NewEncoder(p.Out)
	for os.Getppid() == parent {
		select {
		case line := <-p.lines:
			if err := out.Encode(line); err != nil {
				return fmt.Errorf("tell verdict: %w", err)
			}
		case <-alive.C:
		}
	}
	return nil
}

// find looks again and again at which directories belong to the data directory. That
// one is tried from the beginning: it may hang while its links are read.
func (p *Probe) find() {
	p.adopt(p.wanted(nil))
	for told := false; ; {
		p.Pause(p.Every)
		links, err := elsewhere(p.Data)
		if err != nil {
			continue // the data directory's own try tells what is wrong
		}
		want := p.wanted(links)
		if p.adopt(want) || !told {
			p.lines <- Line{Paths: want, WAL: leads(filepath.Join(p.Data, "pg_wal"))}
			told = true
		}
	}
}

// wanted is what to try when the links lead there.
func (p *Probe) wanted(links []string) []string {
	want := append([]string{p.Data}, links...)
	if p.Measured != "" {
		want = append(want, p.Measured)
	}
	return want
}

// adopt begins to try what is new and lets go of what is wanted no more.
func (p *Probe) adopt(want []string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []*target
	for _, path := range want {
		i := slices.IndexFunc(p.targets, func(t *target) bool { return t.path == path })
		if i >= 0 {
			kept = append(kept, p.targets[i])
			continue
		}
		t := &target{path: path, measured: path == p.Measured && path != p.Data}
		kept, changed = append(kept, t), true
		go p.tryAgain(t)
	}
	for _, t := range p.targets {
		if !slices.Contains(kept, t) {
			t.dropped, changed = true, true
		}
	}
	p.targets = kept
	return changed
}

// tryAgain tries one directory until it is dropped.
func (p *Probe) tryAgain(t *target) {
	said := ""
	for !p.isDropped(t) {
		line := p.try(t)
		if line.Same == "" || line.Same != said {
			p.lines <- line
		}
		said = line.Same
		p.Pause(p.Every)
	}
	if !t.measured {
		_ = os.Remove(filepath.Join(t.path, p.File)) // the directory may be given up or away already
	}
}

func (p *Probe) isDropped(t *target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.dropped
}

func (p *Probe) try(t *target) Line {
	line := Line{Path: t.path}
	device, err := deviceOf(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return line
	case err == nil:
		if line.Same = p.owner(t, device); line.Same != "" {
			return line
		}
		if !t.measured {
			err = writeAndSync(filepath.Join(t.path, p.File))
		}
	}
	if err != nil {
		line.Error = err.Error()
	}
	line.Room = roomOf(t.path)
	return line
}

// owner is the directory that speaks for this file system when another one does: the
// one that stands before this one in the order.
func (p *Probe) owner(t *target, device uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.device = device
	for _, other := range p.targets {
		if other == t {
			break
		}
		if other.device == device {
			return other.path
		}
	}
	return ""
}

// elsewhere lists the directories outside the data directory in which PostgreSQL
// writes: where pg_wal leads and the tablespaces are. It reads the links only, and
// touches none of their disks.
func elsewhere(data string) (dirs []string, err error) {
	links := []string{filepath.Join(data, "pg_wal")}
	entries, err := os.ReadDir(filepath.Join(data, "pg_tblspc"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		links = append(links, filepath.Join(data, "pg_tblspc", e.Name()))
	}
	for _, link := range links {
		if to := leads(link); to != "" && to != data && !slices.Contains(dirs, to) {
			dirs = append(dirs, to)
		}
	}
	return dirs, nil
}

// leads tells where a link leads; "" for a plain directory, or nothing: a tablespace in
// place, or one being dropped.
func leads(link string) string {
	to, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(link), to)
	}
	return filepath.Clean(to)
}
