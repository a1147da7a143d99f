package postgres

import (
	"errors"
	"os"
	"os/exec"
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

// What an operator wants to keep stays wanted until another swap takes its name, whatever
// that one was asked for.
func TestOldDataThatIsWantedSaysSo(t *testing.T) {
	for _, keep := range []bool{false, true} {
		in := aSwap(t)
		ok(t, in.BeginSwap(false, keep))
		ok(t, (&Instance{Data: in.Data}).RecoverSwap()) // in the next life
		if in.KeptOld() == "" || in.OldIsWanted() != keep {
			t.Errorf("to be kept %t: aside lies %q, wanted %t", keep, in.KeptOld(), in.OldIsWanted())
		}
	}
	for _, c := range []struct {
		was, keep, half, want bool
	}{{true, false, true, true}, {false, true, true, true}, {true, false, false, false}} {
		in := aSecondSwap(t)
		ok(t, mark(in.Data+".old", c.was))
		ok(t, exec.Command("cp", "-r", filepath.Join(in.Data+".old", "global"), in.Data).Run()) // whole, unless half
		ok(t, in.BeginSwap(c.half, c.keep))
		ok(t, in.RecoverSwap())
		if in.OldIsWanted() != c.want {
			t.Errorf("%+v: wanted %t", c, in.OldIsWanted())
		}
	}
	in := aSwap(t)
	ok(t, os.Rename(in.Data, in.Data+".old")) // a version before was cut off here
	ok(t, in.RecoverSwap())
	if in.KeptOld() == "" || in.OldIsWanted() {
		t.Errorf("aside lies %q, wanted %t", in.KeptOld(), in.OldIsWanted())
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
