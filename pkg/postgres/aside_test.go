package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An operator has moved an old cluster out of the way, to the name that a swap uses.
func TestWhatNoSwapHasPutAsideStays(t *testing.T) {
	in := aSwap(t)
	theirs := filepath.Join(in.Data+".old", "theirs")
	ok(t, os.Mkdir(in.Data+".old", 0o700))
	write(t, theirs, "")
	if in.KeptOld() != "" || !errors.Is(in.Beside(Layout{}), ErrNotBeside) {
		t.Error("it is taken for what a swap has put aside")
	}
	ok(t, in.DropOld())
	for _, half := range []bool{false, true} {
		if err := in.Swap(half); err == nil || !in.HasCopy() || !exists(in.Data) {
			t.Errorf("a swap beside it, half %t: %v", half, err)
		}
	}
	if !exists(theirs) {
		t.Error("it was deleted")
	}
}

// Data that was put aside and is put back is this server's again.
func TestOldDataThatIsPutBackIsNotMarked(t *testing.T) {
	in := aSwap(t)
	ok(t, in.Swap(false))
	if in.KeptOld() == "" || in.Beside(Layout{}) != nil {
		t.Fatal("what a swap has put aside is taken for somebody's")
	}
	ok(t, os.Rename(in.Data, in.Data+".bad"))
	ok(t, os.Rename(in.Data+".old", in.Data))
	ok(t, in.RecoverSwap())
	ok(t, os.Rename(in.Data, in.Data+".old"))
	if in.KeptOld() != "" {
		t.Error("it would be deleted")
	}
}

// A removal that was cut off is gone on with.
func TestOldDataKeepsItsMarkToTheEnd(t *testing.T) {
	in := aSwap(t)
	ok(t, in.Swap(false))
	fixed := filepath.Join(in.Data+".old", "z")
	ok(t, os.MkdirAll(filepath.Join(fixed, "within"), 0o700))
	ok(t, os.Chmod(fixed, 0o500)) // nothing in it can be deleted
	err := in.DropOld()
	ok(t, os.Chmod(fixed, 0o700))
	if err == nil || in.KeptOld() == "" {
		t.Fatalf("cut off, and it counts as somebody's: %v", err)
	}
	ok(t, in.DropOld())
	ok(t, os.Mkdir(in.Data+".old", 0o700)) // of which nothing was left but the directory
	ok(t, in.Beside(Layout{}))
	ok(t, in.DropOld())
	if exists(in.Data + ".old") {
		t.Error("it is left")
	}
}
