package setup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mcctl/pkg/postgres"
)

// lot is a directory that a second server shall have, and by what it was said; hint
// is what the operator may do about it otherwise.
type lot struct{ what, dir, hint string }

// apart refuses a directory that lies in another one or in a name beside it: each is
// renamed, and in the end deleted, for itself.
func apart(lots []lot) error {
	lots = slices.DeleteFunc(lots, func(l lot) bool { return l.dir == "" })
	for i, inner := range lots {
		if ending := filepath.Ext(inner.dir); slices.Contains(postgres.Endings(), ending) {
			return fmt.Errorf("use %s %s: mcctl gives this ending to names beside; name another directory%s", inner.what, inner.dir, inner.hint)
		}
		for j, outer := range lots {
			if i == j {
				continue
			}
			if err := inner.in(outer); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l lot) in(outer lot) error {
	inside := func(dir string) bool { return strings.HasPrefix(resolved(l.dir)+"/", dir+"/") }
	if inside(resolved(outer.dir)) {
		return fmt.Errorf("use %s %s: it lies in %s %s; no directory may lie in another one%s", l.what, l.dir, outer.what, outer.dir, l.hint)
	}
	for _, ending := range postgres.Endings() {
		if inside(resolved(outer.dir) + ending) {
			return fmt.Errorf("use %s %s: it lies in %s, which belongs to %s %s%s", l.what, l.dir, outer.dir+ending, outer.what, outer.dir, l.hint)
		}
	}
	return nil
}

// resolved is a path without symbolic links as far as it is there.
func resolved(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil || path == "/" || path == "." {
		return to
	}
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
}
