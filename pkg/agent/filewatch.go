package agent

import (
	"context"
	"errors"
	"time"

	"github.com/fsnotify/fsnotify"
)

// fileWatch has the kernel tell of changes of files. What it tells is read at all
// times by a goroutine of its own: fsnotify (1.10) keeps its lock while it waits for
// the reader of an error, such as that of a file which was renamed and deleted, so
// that whoever reads and adds by turns would wait for himself for ever.
type fileWatch struct {
	watcher *fsnotify.Watcher
	changed chan struct{} // holds a token when something has changed
}

// newFileWatch tells of the events that concern its owner, and of those that were
// lost or failed, since they may have been among them.
func newFileWatch(concerns func(fsnotify.Event) bool) (*fileWatch, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &fileWatch{watcher: watcher, changed: make(chan struct{}, 1)}
	go w.read(concerns) // ends with the watcher
	return w, nil
}

func (w *fileWatch) read(concerns func(fsnotify.Event) bool) {
	for {
		var open, news bool
		var e fsnotify.Event
		select {
		case e, open = <-w.watcher.Events:
			news = open && concerns(e)
		case _, open = <-w.watcher.Errors:
			news = open
		}
		if !open {
			return
		}
		if !news {
			continue
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// add is idempotent.
func (w *fileWatch) add(path string) error {
	if err := w.watcher.Add(path); !errors.Is(err, fsnotify.ErrClosed) {
		return err
	}
	return nil
}

func (w *fileWatch) watched() []string { return w.watcher.WatchList() }

func (w *fileWatch) close() { _ = w.watcher.Close() }

// calm is how long nothing must happen before files are read: editors and package
// managers write in several steps.
const calm = 20 * time.Millisecond

func (w *fileWatch) settle(ctx context.Context) {
	for range 10 {
		select {
		case <-w.changed:
		case <-time.After(calm):
			return
		case <-ctx.Done():
			return
		}
	}
}
