package pgconf

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// memory is a disk whose files are a map; those in locked may not be written.
type memory struct {
	files  map[string]string
	locked string
}

func (m memory) ReadFile(path string) ([]byte, error) {
	text, there := m.files[path]
	if !there {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func (m memory) List(dir string) (names []string, err error) {
	for path := range m.files {
		if name, inside := strings.CutPrefix(path, dir+"/"); inside && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, nil
}

func (m memory) IsDir(string) (bool, error) { return false, nil }
func (m memory) Writable(path string) bool  { return path != m.locked }

func (m memory) read() *Tree {
	return Read(m, Roots{Main: "/c/main", Auto: "/d/auto", Major: 17})
}

// apply writes the edits back.
func (m memory) apply(t *Tree) {
	for _, e := range t.Edits() {
		m.files[e.File] = string(e.New)
	}
}

func TestTheLastOccurrenceOfAllFilesCounts(t *testing.T) {
	m := memory{files: map[string]string{
		"/c/main":     "port = 1\ninclude_dir 'd'\ninclude_if_exists 'x'\nwork_mem = 1\n",
		"/c/d/1.conf": "Port 2\n\n#port = 9\n", "/c/d/2.conf": "port = 3 # here\r\nwork_mem = 2", "/d/auto": "work_mem = 3\n",
	}}
	for name, want := range map[string]string{"port": "/c/d/2.conf:1 3 false", "work_mem": "/d/auto:1 3 true"} {
		o, ok := m.read().Get(name)
		if got := fmt.Sprintf("%s %s %t", o.Place(), o.Value, o.Auto); !ok || got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := len(m.read().All("port")); got != 3 {
		t.Errorf("port is set %d times", got)
	}
	if _, ok := m.read().Get("nothing"); ok {
		t.Error("nothing is set")
	}
	if got := fmt.Sprint(m.read().Paths()); got != "[/c/main /c/d/1.conf /c/d/2.conf /d/auto]" {
		t.Errorf("paths %s", got)
	}
}

func TestSetInATree(t *testing.T) {
	for _, c := range []struct{ why, main, in, auto, wantMain, wantIn, wantAuto string }{
		{"where it counts", "port = 1\ninclude in\n", "port 2 # c", "", "port = 1\ninclude in\n", "port 'x' # c", ""},
		{"behind the include", "include in\nport = 1\n", "port 2", "", "include in\nport = 'x'\n", "port 2", ""},
		{"written already", "include in\n", "port=x", "", "include in\n", "port=x", ""},
		{"ALTER SYSTEM gives way", "include in\n", "port=x", "a = 1\nport = '2'\n", "include in\n", "port=x", "a = 1\n#port = '2'\n"},
		{"a line that was commented out", "#port = 'w'\ninclude in\n", "#port=x # c\n#port = 'y'\n", "", "#port = 'w'\ninclude in\n", "port=x # c\n#port = 'y'\n", ""},
		{"else one in normal form", "include in\n", "#port = 'w'\n#port=y\n", "", "include in\n", "port = 'x'\n#port=y\n", ""},
		{"not one of ALTER SYSTEM", "include in\n", "", "#port = 'x'\n", "include in\nport = 'x'\n", "", "#port = 'x'\n"},
		{"ALTER SYSTEM's place is not its own", "include in\n", "#port = 'w'\n", "port = '2'\n", "include in\n", "port = 'x'\n", "#port = '2'\n"},
		{"else a new line", "include in", "", "", "include in\nport = 'x'\n", "", ""},
	} {
		m := memory{files: map[string]string{"/c/main": c.main, "/c/in": c.in, "/d/auto": c.auto}}
		tree := m.read()
		home := tree.Home("port")
		tree.Set("port", "x")
		for _, e := range tree.Edits() {
			if e.File != "/d/auto" && e.File != home {
				t.Errorf("%s: it goes to %s, not %s", c.why, e.File, home)
			}
		}
		if o, ok := tree.Get("port"); !ok || o.Value != "x" {
			t.Errorf("%s: in memory it is %q", c.why, o.Value)
		}
		m.apply(tree)
		if got := []string{m.files["/c/main"], m.files["/c/in"], m.files["/d/auto"]}; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", []string{c.wantMain, c.wantIn, c.wantAuto}) {
			t.Errorf("%s: %q", c.why, got)
		}
	}
}

func TestEditsNameTheFirstLine(t *testing.T) {
	m := memory{files: map[string]string{"/c/main": "a = 1\nb = 2\nport = 3\n"}, locked: "/c/main"}
	tree := m.read()
	if len(tree.Edits()) != 0 || tree.Diff() != "" {
		t.Error("edits before any")
	}
	tree.CommentOut("port")
	if e := tree.Edits(); len(e) != 1 || e[0].Line != 3 || e[0].Writable || !strings.Contains(tree.Diff(), "-port = 3\n+#port = 3\n") {
		t.Errorf("edits %+v\n%s", e, tree.Diff())
	}
}

func TestFilesThatIncludeEachOtherOverAndOverEnd(t *testing.T) {
	m := memory{files: map[string]string{"/c/main": strings.Repeat("include a\n", 50)}}
	m.files["/c/a"] = strings.Repeat("include b\n", 50)
	m.files["/c/b"] = strings.Repeat("include a\n", 50)
	if len(m.read().Problems()) == 0 {
		t.Error("no problem is seen")
	}
}

// checkTree holds every promise about trees against three files that include each
// other in any way.
func checkTree(t *testing.T, main, in, auto, value string) {
	t.Helper()
	m := memory{files: map[string]string{"/c/main": main, "/c/in": in, "/d/auto": auto}}
	if e := m.read().Edits(); len(e) != 0 {
		t.Fatalf("%q: read and not edited, yet changed: %+v", m.files, e)
	}
	for _, name := range []string{"port", ssn} {
		m := memory{files: maps.Clone(m.files)}
		was := maps.Clone(m.files)
		tree := m.read()
		tree.Set(name, value)
		m.apply(tree)
		want, _, _ := strings.Cut(value, "\x00")
		if o, ok := m.read().Get(name); !ok || o.Value != want {
			t.Fatalf("%q: %s set to %q reads %q: %q", was, name, want, o.Value, m.files)
		}
		set := maps.Clone(m.files)
		steps := []func(*Tree){func(t *Tree) { t.CommentOut(name) }, func(t *Tree) { t.Set(name, want) }}
		for i := range 6 { // out, in, out, in …: the same two states for ever
			tree := m.read()
			steps[i%2](tree)
			m.apply(tree)
			if _, ok := m.read().Get(name); ok != (i%2 == 1) {
				t.Fatalf("%q: %s set %t after step %d: %q", was, name, ok, i, m.files)
			}
			switch {
			case i == 1:
				set = maps.Clone(m.files)
			case i%2 == 1 && !maps.Equal(m.files, set):
				t.Fatalf("%q: %q after out and in is %q", was, set, m.files)
			}
		}
	}
}

func TestTreeLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	text := func() string {
		s := randomText(r, 20)
		for range r.IntN(3) {
			s += []string{"\ninclude 'in'\n", "\ninclude_if_exists '/c/in'\n", "\ninclude_dir '/c'\n", "\ninclude main\n"}[r.IntN(4)] + randomText(r, 8)
		}
		return s
	}
	for range 1500 {
		checkTree(t, text(), text(), text(), strings.TrimRight(randomText(r, 4), "\x00"))
	}
}

func FuzzTree(f *testing.F) {
	f.Add("include in\nport = 1", "port 2\n#port = '3'", "port = '4'\ninclude '/c/in'", "x")
	f.Fuzz(checkTree)
}
