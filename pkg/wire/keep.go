package wire

import (
	"os"
	"sync"
	"time"
)

// keepPatience is how long a connection waits for files to be read: they may be on a
// disk that hangs.
const keepPatience = 100 * time.Millisecond

// Kept is what was made of files that may be replaced at any time. What is in them then
// counts from the next question on, if it is any good; if not, what was before.
type Kept[T any] struct {
	load  func() (T, error)
	files []string

	// Of the one look that is under way.
	stamps []os.FileInfo
	wrong  string // why what is in the files now was not taken

	mu      sync.Mutex // held for moments, and never while a file is read
	now     T
	looking chan struct{} // closed at the end of the look that is under way
	hangs   bool          // somebody has waited for it in vain
	tell    func(error)
}

// Keep loads what is in the files, and looks at them again whenever it is asked for.
func Keep[T any](load func() (T, error), files ...string) (*Kept[T], error) {
	k := &Kept[T]{load: load, files: files, stamps: stampsOf(files), tell: func(error) {}}
	var err error
	k.now, err = load()
	return k, err
}

// Tell has news told: nil when what is in the files was taken, or once why it was not.
func (k *Kept[T]) Tell(tell func(error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell = tell
}

// Now is what is in the files. It is what was there before if they cannot be read in time.
func (k *Kept[T]) Now() T {
	if looked := k.begin(); looked != nil {
		select {
		case <-looked:
		case <-time.After(keepPatience):
			k.mu.Lock()
			k.hangs = k.looking == looked
			k.mu.Unlock()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// begin has the files looked at, by nobody else at the same time. It gives what to wait
// for, nil if that is in vain.
func (k *Kept[T]) begin() (looked chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.hangs:
		return nil
	case k.looking == nil:
		k.looking = make(chan struct{})
		go k.look()
	}
	return k.looking
}

func (k *Kept[T]) look() {
	fresh, news, err := k.read()
	k.mu.Lock()
	if news && err == nil {
		k.now = fresh
	}
	tell := k.tell
	k.mu.Unlock()
	if news {
		tell(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.looking)
	k.looking, k.hangs = nil, false
}

// read reads the files if they have changed. What was no good is read again each time:
// not all that it is judged by is in the files, such as the day.
func (k *Kept[T]) read() (fresh T, news bool, err error) {
	stamps := stampsOf(k.files)
	if k.wrong == "" && same(stamps, k.stamps) {
		return fresh, false, nil
	}
	fresh, err = k.load()
	k.stamps = stamps
	was := k.wrong
	k.wrong = ""
	if err != nil {
		k.wrong = err.Error()
	}
	return fresh, err == nil || k.wrong != was, err
}

// stampsOf tell a file from the one that has taken its place. nil: there is none.
func stampsOf(files []string) (all []os.FileInfo) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			info = nil
		}
		all = append(all, info)
	}
	return all
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil || !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()):
			return false
		}
	}
	return true
}
