package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mcctl/pkg/durable"
)

// Swap puts the copy that BaseBackup made in the data directory's place and the
// old one aside, to Data.old; each directory outside it likewise. The server must
// be stopped. After an error or a crash call RecoverSwap; at no moment is less than
// one whole set of directories there.
func (in *Instance) Swap() error {
	if _, running := in.Postmaster(); running {
		return errors.New("swap data directory: the server is running; stop it first")
	}
	if !exists(in.Data + ".new") {
		return fmt.Errorf("swap data directory: there is no %s.new; make a base backup first", in.Data)
	}
	if err := in.setAside(); err != nil {
		return fmt.Errorf("swap data directory: %w", err)
	}
	if err := in.finishSwap(); err != nil {
		return fmt.Errorf("swap data directory: %w", err)
	}
	return nil
}

// setAside is the swap's point of no return: from here on it is finished.
func (in *Instance) setAside() error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range append(layout.places(), place{dir: in.Data}) {
		if exists(p.dir + ".old") {
			return fmt.Errorf("%s.old is still there; drop it first if the present server is sound", p.dir)
		}
	}
	if !exists(in.Data) {
		return os.Mkdir(in.Data+".old", 0o700) // nothing to keep, but a crash must be told from a copy that waits
	}
	return renameDurably(in.Data, in.Data+".old")
}

// finishSwap may be cut off anywhere and called again. The links of the copy lead to
// where it shall lie; what is still to be moved has its ending.
func (in *Instance) finishSwap() error {
	layout, err := layoutOf(in.Data + ".new")
	if err != nil {
		return err
	}
	for _, p := range layout.places() {
		if !exists(newer(p.dir)) {
			continue // this one was moved before
		}
		if exists(p.dir) {
			if err := in.putAside(p); err != nil {
				return err
			}
		}
		if err := renameDurably(newer(p.dir), p.dir); err != nil {
			return err
		}
	}
	return renameDurably(in.Data+".new", in.Data)
}

// putAside renames what the copy replaces, and has the old data directory's link
// follow, so that the old server stays whole and DropOld finds the way.
func (in *Instance) putAside(p place) error {
	link := filepath.Join(in.Data+".old", p.link)
	to, err := linkTarget(link)
	if err != nil {
		return err
	}
	if to == p.dir || !exists(link) {
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			return err
		}
		if err := durable.Symlink(p.dir+".old", link); err != nil {
			return err
		}
	}
	return renameDurably(p.dir, p.dir+".old")
}

// RecoverSwap ends a Swap that was cut off. Run it at every start of the
// supervisor, before anything looks at the data directory.
func (in *Instance) RecoverSwap() error {
	if exists(in.Data) || !exists(in.Data+".old") || !exists(in.Data+".new") {
		return nil
	}
	if err := in.finishSwap(); err != nil {
		return fmt.Errorf("recover swap of data directory: %w", err)
	}
	return nil
}

// DropOld deletes the data directory that Swap put aside, with what of it lies
// elsewhere: once the new one has proven itself. Nothing there is fine.
func (in *Instance) DropOld() error {
	if !exists(in.Data) {
		return nil
	}
	then, err := layoutOf(in.Data + ".old")
	if err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	// Directories elsewhere first: afterwards nothing would lead to them any more.
	for _, p := range then.places() {
		if !strings.HasSuffix(p.dir, ".old") {
			continue // it was never put aside
		}
		if err := os.RemoveAll(p.dir); err != nil {
			return fmt.Errorf("drop old directory: %w", err)
		}
	}
	if err := os.RemoveAll(in.Data + ".old"); err != nil {
		return fmt.Errorf("drop old data directory: %w", err)
	}
	return nil
}

// KeptOld tells where the data that Swap put aside lies; empty when there is none.
func (in *Instance) KeptOld() string {
	if !exists(in.Data + ".old") {
		return ""
	}
	return in.Data + ".old"
}

// HasCopy tells that BaseBackup has made a whole copy that waits for Swap.
func (in *Instance) HasCopy() bool { return exists(in.Data + ".new") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
