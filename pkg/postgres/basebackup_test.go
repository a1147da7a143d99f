package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// besides is a data directory whose pg_wal lies in a directory with the ending of a copy, and
// the names that a copy of it would take.
func besides(t *testing.T) (in *Instance, layout Layout, names []string) {
	t.Helper()
	in = &Instance{Data: filepath.Join(t.TempDir(), "d")}
	layout.WAL = filepath.Join(filepath.Dir(in.Data), "w.new")
	for _, dir := range []string{in.Data, layout.WAL} {
		ok(t, os.MkdirAll(filepath.Join(dir, "content"), 0o700))
	}
	ok(t, relink(in.Data, layout.places(), older))
	return in, layout, in.copyNames(layout)
}

// A copy is removed wherever it lies, however far it was, and whatever this server's own
// directories are called. One that is taking the data's place is not.
func TestDropCopyLeavesThisServersOwnDirectories(t *testing.T) {
	for n := range 4 {
		in, layout, names := besides(t)
		ok(t, in.noteCopy(Layout{WAL: strings.TrimSuffix(layout.WAL, ".new"), Tablespaces: map[string]string{"1": layout.WAL}}))
		for _, dir := range names[:n] {
			ok(t, os.MkdirAll(filepath.Join(dir, "half"), 0o700))
		}
		ok(t, in.Beside(layout))
		ok(t, in.DropCopy())
		left, err := os.ReadDir(filepath.Dir(in.Data))
		if err != nil || len(left) != 2 || !exists(in.Data) || !exists(layout.WAL) {
			t.Errorf("of a copy in %s there is left %v, %v", names[:n], left, err)
		}
	}
	in := aSwap(t)
	for _, step := range steps(t, in)[:2] {
		step()
	}
	if err := in.DropCopy(); err == nil || !in.HasCopy() {
		t.Error("the copy that a swap has begun with was dropped")
	}
}

// What somebody has put where a copy would go is neither deleted nor copied over; what is
// empty is nobody's.
func TestWhatNoCopyHasLeftStays(t *testing.T) {
	for i := range 3 {
		in, layout, names := besides(t)
		theirs := filepath.Join(names[i], "theirs")
		ok(t, os.MkdirAll(theirs, 0o700))
		if err := in.Beside(layout); !errors.Is(err, ErrNotBeside) || !strings.Contains(err.Error(), names[i]+" is there") {
			t.Errorf("a copy would go to %s: %v", names[i], err)
		}
		gone, err := in.copies(layout)
		ok(t, err)
		if ok(t, in.DropCopy()); len(gone) > 0 || !exists(theirs) {
			t.Errorf("%s counts as what a copy has left: %v", names[i], gone)
		}
		ok(t, os.Remove(theirs))
		ok(t, in.Beside(layout))
		ok(t, in.noteCopy(layout))
		if exists(names[i]) {
			t.Errorf("%s is in the way of a copy", names[i])
		}
	}
}

// The names of a copy that has its place, or of one that was dropped, are anybody's again.
func TestACopyIsNotedUntilItHasItsPlaceOrIsDropped(t *testing.T) {
	for how, end := range map[string]func(*Instance) error{
		"swapped": func(in *Instance) error { return in.Swap(false) },
		"dropped": (*Instance).DropCopy,
	} {
		in := aSwap(t)
		ok(t, end(in))
		if exists(in.copyNote()) || in.HasCopy() {
			t.Errorf("%s, and it is noted still", how)
		}
	}
}

// An operator has cleaned up, or nothing was made before the host died.
func TestACopyOfWhichNothingIsThereIsNotNoted(t *testing.T) {
	in := aSwap(t)
	layout, err := in.Layout()
	ok(t, err)
	for _, dir := range in.copyNames(layout)[:3] {
		ok(t, in.RecoverSwap())
		if !exists(in.copyNote()) {
			t.Errorf("%s is there, and nobody knows whose it is", dir)
		}
		ok(t, os.RemoveAll(dir))
	}
	if ok(t, in.RecoverSwap()); exists(in.copyNote()) {
		t.Error("what somebody puts there would be deleted")
	}
}
