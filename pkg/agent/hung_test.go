package agent

import (
	"io/fs"
	"sync"
	"testing"
	"time"

	"mcctl/pkg/durable"
)

// hung is a disk that answers no write until it is let go.
type hung struct {
	durable.Disk
	writes chan struct{} // one for each write that has begun
	goOn   chan struct{}
	letGo  func()
}

func newHung(t *testing.T) *hung {
	h := &hung{Disk: durable.Machine, writes: make(chan struct{}, 100), goOn: make(chan struct{})}
	h.letGo = sync.OnceFunc(func() { close(h.goOn) })
	t.Cleanup(h.letGo)
	return h
}

func (h *hung) WriteJSON(path string, v any, mode fs.FileMode) error {
	h.writes <- struct{}{}
	<-h.goOn
	return h.Disk.WriteJSON(path, v, mode)
}

// The loop, reports and status go on while a wish of the operator's is saved on a disk
// that hangs.
func TestNobodyWaitsForAWishThatIsBeingSaved(t *testing.T) {
	a := someAgent(t)
	disk := newHung(t)
	a.store.Disk = disk
	wished := make(chan error, 1)
	go func() { wished <- a.wish(func(w *wishes) { w.Held = true }) }()
	received(t, disk.writes)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.report()
		a.status()
		a.explain()
		a.takeUp()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Error("they wait for the disk")
	}
	disk.letGo()
	ok(t, <-wished)
	if !a.board.Read().Held {
		t.Error("the wish is not in force")
	}
}
