package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Whom a sample is about, if not one of the peers.
const (
	ours      = "mcctl"
	bareFloor = "floor"
)

// sample is one line of the results.
type sample struct {
	Program string             `json:"program,omitempty"` // digest of the mcctl program
	At      time.Time          `json:"at"`
	Subject string             `json:"subject"` // mcctl, floor, or a peer
	Profile string             `json:"profile"` // floor: that of the mcctl beside it
	Event   string             `json:"event"`
	Values  map[string]float64 `json:"values,omitempty"` // by name, which ends in the unit
	Acked   uint64             `json:"acked,omitempty"`
	Lost    uint64             `json:"lost"`
	Doubled uint64             `json:"doubled,omitempty"`
	Overlap bool               `json:"overlap,omitempty"`
	Ghosts  int                `json:"ghosts,omitempty"` // acknowledged by a thawed server and nowhere else
	Error   string             `json:"error,omitempty"`  // why it has no values
}

func (s sample) safe() bool {
	return s.Lost == 0 && s.Doubled == 0 && !s.Overlap && s.Ghosts == 0
}

// alone keeps a second run from measuring the first, and from writing where it
// does. The lock ends with the process, whatever becomes of it.
func alone(path string) (release func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock results: %w", err)
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock results: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w; another run is at work on it, wait for its end", f.Name(), err), f.Close())
	}
	return f.Close, nil
}

// journal appends samples, each at once and whole.
type journal struct{ file *os.File }

func openJournal(path string) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	return &journal{f}, nil
}

func (j *journal) add(s sample) error {
	line, err := json.Marshal(s)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note result: %w", err)
	}
	return nil
}

func readSamples(path string) ([]sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	defer f.Close()
	var all []sample
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("read results: %s:%d: %w; delete that line", path, n, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

// earlier returns the samples of a run that was broken off. Those of another
// program, or of a run that has come to its end, are put aside.
func earlier(path, program string, complete func([]sample) bool) ([]sample, error) {
	all, err := readSamples(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case len(all) > 0 && all[0].Program == program && !complete(all):
		return all, nil
	}
	return nil, os.Rename(path, path+"."+time.Now().Format("20060102-150405"))
}

// ifThere takes what readSamples says of a file that need not be there.
func ifThere(all []sample, err error) ([]sample, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// String is the sample's line on the terminal.
func (s sample) String() string {
	if s.Error != "" {
		return "FAILED: " + s.Error
	}
	text := ""
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		text += fmt.Sprintf(" %s %.1f", name, s.Values[name])
	}
	if !s.safe() {
		text += fmt.Sprintf(" NOT SAFE: %d lost, %d doubled, %d ghosts, overlap %t", s.Lost, s.Doubled, s.Ghosts, s.Overlap)
	}
	return strings.TrimSpace(text)
}
