package observe

import (
	"sync"

	"mcctl/pkg/conffiles"
	"mcctl/pkg/settings"
)

// Files compares the managed settings in PostgreSQL's configuration files with
// what they shall be. It reads the files again only when one has changed.
type Files struct {
	*conffiles.Watched

	mu      sync.Mutex
	version int
	asked   settings.Wanted
	faults  []settings.Fault
}

// NewFiles has read nothing yet.
func NewFiles(w *conffiles.Watched) *Files { return &Files{Watched: w} }

// Hold reports whether the files say what is wanted.
func (f *Files) Hold(w settings.Wanted) (bool, error) {
	faults, err := f.Faults(w)
	return err == nil && len(faults) == 0, err
}

// Faults lists what the files say otherwise than wanted.
func (f *Files) Faults(w settings.Wanted) ([]settings.Fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, version, err := f.Tree()
	if err != nil {
		return nil, err
	}
	if version != f.version || w != f.asked {
		f.version, f.asked, f.faults = version, w, w.Faults(t)
	}
	return f.faults, nil
}
