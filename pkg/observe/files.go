package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mcctl/pkg/pgconf"
	"mcctl/pkg/settings"
)

// Files compares the managed settings in PostgreSQL's configuration files with
// what they shall be. It reads a file again only when it has changed.
type Files struct {
	Conf, Auto string // paths

	mu    sync.Mutex
	conf  cached
	auto  cached
	fits  bool
	asked settings.Wanted
}

type cached struct {
	size int64
	mod  time.Time
	file *pgconf.File
}

// NewFiles names the configuration file and the data directory whose
// postgresql.auto.conf is read after it.
func NewFiles(conf, data string) *Files {
	return &Files{Conf: conf, Auto: filepath.Join(data, "postgresql.auto.conf")}
}

// Hold reports whether the files say what is wanted.
func (f *Files) Hold(w settings.Wanted) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	confChanged, err := f.conf.refresh(f.Conf)
	if err != nil {
		return false, err
	}
	autoChanged, err := f.auto.refresh(f.Auto)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if confChanged || autoChanged || w != f.asked {
		f.asked, f.fits = w, w.Hold(settings.Files{Conf: f.conf.file, Auto: f.auto.file})
	}
	return f.fits, nil
}

func (c *cached) refresh(path string) (changed bool, err error) {
	at, err := os.Stat(path)
	if err != nil {
		changed = c.file == nil || c.size != 0
		*c = cached{file: pgconf.Parse(nil)}
		return changed, fmt.Errorf("read configuration: %w", err)
	}
	if c.file != nil && at.Size() == c.size && at.ModTime().Equal(c.mod) {
		return false, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read configuration: %w", err)
	}
	*c = cached{size: at.Size(), mod: at.ModTime(), file: pgconf.Parse(b)}
	return true, nil
}
