package fault

import (
	"io/fs"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/durable"
)

// limit bounds every wait.
const limit = 20 * time.Second

// Hung is a disk that takes writes and answers none of them until LetGo.
type Hung struct {
	durable.Disk
	writes chan struct{} // one for each that has begun
	goOn   chan struct{}
	LetGo  func()
}

// Hang makes one; it is let go at the end of the test.
func Hang(t *testing.T) *Hung {
	h := &Hung{Disk: durable.Machine, writes: make(chan struct{}, 100), goOn: make(chan struct{})}
	h.LetGo = sync.OnceFunc(func() { close(h.goOn) })
	t.Cleanup(h.LetGo)
	return h
}

// WriteJSON hangs.
func (h *Hung) WriteJSON(path string, v any, mode fs.FileMode) error {
	h.writes <- struct{}{}
	<-h.goOn
	return h.Disk.WriteJSON(path, v, mode)
}

// Await waits until a write hangs.
func (h *Hung) Await(t *testing.T) {
	t.Helper()
	select {
	case <-h.writes:
	case <-time.After(limit):
		t.Fatal("nothing is written")
	}
}

// Free fails the test when do waits for the disk.
func (h *Hung) Free(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s waits for the disk", what)
	}
}
