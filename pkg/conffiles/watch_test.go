package conffiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestFilesAreReadOnlyWhenOneHasChanged(t *testing.T) {
	roots, main, included := site(t)
	w := NewWatched(roots)
	version := 0
	look := func(what string, again bool, want string) {
		t.Helper()
		tr, v, err := w.Tree()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		o, _ := tr.Get(name)
		if (v != version) != again || o.Value != want {
			t.Errorf("%s: read again %t, value %q; want %t, %q", what, v != version, o.Value, again, want)
		}
		version = v
	}
	write := func(path, text string) { ok(t, os.WriteFile(path, []byte(text), 0o600)) }
	look("first", true, "server2")
	look("nothing has changed", false, "server2")
	time.Sleep(20 * time.Millisecond) // a tick of the file system's clock
	write(included, name+" = 'x'\n")
	look("an included file", true, "x")
	write(filepath.Join(filepath.Dir(included), "z.conf"), name+" = 'z'\n")
	look("a new file in a directory", true, "z")
	write(roots.Auto, name+" = 'auto'\n")
	look("ALTER SYSTEM", true, "auto")
	ok(t, os.Remove(roots.Auto))
	look("and back", true, "z")
	write(included+".new", name+" = 'y'\n")
	ok(t, os.Rename(included+".new", filepath.Join(filepath.Dir(included), "z.conf")))
	look("replaced, as editors do", true, "y")
	w.Forget()
	look("forgotten", true, "y")
	if places := w.Places(); !slices.Contains(places, main) || !slices.Contains(places, filepath.Dir(included)) || !slices.Contains(places, roots.Auto) {
		t.Errorf("places: %q", places)
	}
	ok(t, os.Remove(main))
	for range 2 {
		if _, _, err := w.Tree(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no file: %v", err)
		}
	}
}

// A link in an include_dir that leads nowhere ends PostgreSQL's reading of the directory.
// When what it leads to comes, what comes after the link counts.
func TestALinkThatLeadsSomewhereInTheEndIsNoticed(t *testing.T) {
	roots, _, included := site(t)
	target := filepath.Join(t.TempDir(), "later.conf")
	ok(t, os.Symlink(target, filepath.Join(filepath.Dir(included), "a.conf")))
	w := NewWatched(roots)
	value := func() string {
		t.Helper()
		tr, _, err := w.Tree()
		ok(t, err)
		o, _ := tr.Get(name)
		return o.Value
	}
	if got := value(); got != "old" {
		t.Fatalf("with a link to nothing the value is %q", got)
	}
	ok(t, os.WriteFile(target, nil, 0o600))
	if got := value(); got != "server2" {
		t.Errorf("with what it leads to the value is %q", got)
	}
}
