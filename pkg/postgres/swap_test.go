package postgres

import (
	"os"
	"path/filepath"
	"testing"
)

// aSwap is a data directory with a place for WAL and a tablespace elsewhere, and a
// copy of each that waits. Every directory says in "who" whether it is old or new.
func aSwap(t *testing.T) *Instance {
	t.Helper()
	in := &Instance{Data: filepath.Join(t.TempDir(), "d")}
	wal, space := filepath.Join(filepath.Dir(in.Data), "w"), filepath.Join(filepath.Dir(in.Data), "s")
	for ending, who := range map[string]string{"": "old", ".new": "new"} {
		for _, dir := range []string{in.Data, wal, space} {
			ok(t, os.MkdirAll(dir+ending, 0o700))
			write(t, filepath.Join(dir+ending, "who"), who)
		}
		ok(t, os.MkdirAll(filepath.Join(in.Data+ending, "pg_tblspc"), 0o700))
		ok(t, relink(in.Data+ending, Layout{WAL: wal, Tablespaces: map[string]string{"16400": space}}.places(), older))
	}
	return in
}

// steps are the changes that a swap makes, one by one, as the kernel sees them.
func steps(t *testing.T, in *Instance) []func() {
	t.Helper()
	rename := func(from, to string) func() { return func() { ok(t, os.Rename(from, to)) } }
	all := []func(){rename(in.Data, in.Data+".old")}
	layout, err := in.Layout()
	ok(t, err)
	for _, p := range layout.places() {
		all = append(all, func() {
			ok(t, os.Remove(filepath.Join(in.Data+".old", p.link)))
			ok(t, os.Symlink(p.dir+".old", filepath.Join(in.Data+".old", p.link)))
		}, rename(p.dir, p.dir+".old"), rename(p.dir+".new", p.dir))
	}
	return append(all, rename(in.Data+".new", in.Data))
}

// A swap that is cut off after any step is finished by the next start, and before
// its first step it has not begun.
func TestASwapCutOffAfterAnyStepIsFinished(t *testing.T) {
	for n := range len(steps(t, aSwap(t))) + 1 {
		in := aSwap(t)
		for _, step := range steps(t, in)[:n] {
			step()
		}
		ok(t, in.RecoverSwap())
		want, other := "new", "old"
		if n == 0 {
			want, other = "old", "new"
		}
		layout, err := in.Layout()
		ok(t, err)
		aside, err := layoutOf(in.Data + "." + other)
		ok(t, err)
		if len(layout.places()) != 2 || len(aside.places()) != 2 {
			t.Fatalf("after %d steps: %+v, aside %+v", n, layout, aside)
		}
		for _, dir := range append(dirsOf(layout), in.Data) {
			if read(t, filepath.Join(dir, "who")) != want || read(t, filepath.Join(dir+"."+other, "who")) != other {
				t.Errorf("after %d steps %s is not %s", n, dir, want)
			}
		}
		ok(t, in.RecoverSwap())
		if n > 0 {
			ok(t, in.DropOld())
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(in.Data), "*.*")); err != nil || len(left) > 0 {
				t.Errorf("after %d steps there is left %v, %v", n, left, err)
			}
		}
	}
}

// Nothing of a server that was never swapped looks like something to drop.
func TestDropOldLeavesWhatItDidNotPutAside(t *testing.T) {
	in := aSwap(t)
	ok(t, in.DropCopy())
	layout, err := in.Layout()
	ok(t, err)
	for _, dir := range dirsOf(layout) {
		ok(t, os.Mkdir(dir+".old", 0o700)) // somebody's own
	}
	ok(t, in.DropOld())
	for _, dir := range dirsOf(layout) {
		if !exists(dir+".old") || exists(dir+".new") {
			t.Errorf("beside %s the wrong directory was removed", dir)
		}
	}
	ok(t, os.MkdirAll(in.Data+".new", 0o700))
	ok(t, relink(in.Data+".new", layout.places()[:1], older))
	if err := in.Swap(); err == nil {
		t.Error("swapped over somebody's directory")
	}
	if !exists(in.Data) {
		t.Error("a swap that was refused has begun")
	}
}
