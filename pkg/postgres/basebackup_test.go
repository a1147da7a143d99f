package postgres

import (
	"os"
	"path/filepath"
	"testing"
)

// A copy is removed wherever it lies, and whatever this server's own directories are
// called. One that is taking the data's place is not.
func TestDropCopyLeavesThisServersOwnDirectories(t *testing.T) {
	for _, ending := range []string{".new", ".part"} {
		for _, links := range []func(string) string{older, newer} { // as it is in the end, and while it is filled
			in := &Instance{Data: filepath.Join(t.TempDir(), "d")}
			wal := filepath.Join(filepath.Dir(in.Data), "w.new")
			for _, dir := range []string{in.Data, wal, in.Data + ending, newer(wal)} {
				ok(t, os.MkdirAll(dir, 0o700))
			}
			places := Layout{WAL: wal}.places()
			ok(t, relink(in.Data, places, older))
			ok(t, relink(in.Data+ending, places, links))
			if ending == ".part" || links(wal) == wal {
				ok(t, in.DropCopy())
				if !exists(in.Data) || !exists(wal) || exists(in.Data+ending) || exists(newer(wal)) {
					t.Errorf("of %s whose link leads to %s something else is left", ending, links(wal))
				}
			}
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
