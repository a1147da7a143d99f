package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A file that is replaced under its watch, as a configuration file is at every
// detach, never holds up who adds it again.
func TestFileWatchWhileFilesAreReplaced(t *testing.T) {
	w, err := newFileWatch(func(fsnotify.Event) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "postgresql.conf")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 500 {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Error(err)
			}
			if err := w.add(path); err != nil {
				t.Error(err)
			}
			_ = os.Rename(path, path+".old")
			_ = os.Remove(path + ".old")
			w.watched()
		}
		w.close()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("adding and reading wait for each other")
	}
	select {
	case <-w.changed:
	default:
		t.Error("it told of no change")
	}
}
