package pgconf

import (
	"bytes"
	"fmt"
	"slices"
)

// Disk is how a Tree gets at files. Package conffiles is the real one.
type Disk interface {
	// ReadFile is the content of a file. An error that wraps an fs.PathError of Op
	// "open" means that it could not even be opened, which include_if_exists
	// forgives.
	ReadFile(path string) ([]byte, error)
	// List is the names in a directory, in any order.
	List(dir string) ([]string, error)
	// IsDir tells whether path, links followed, is a directory.
	IsDir(path string) (bool, error)
	// Writable tells whether we may replace the file at path.
	Writable(path string) bool
}

// Roots is where PostgreSQL begins to read.
type Roots struct {
	Main  string // config_file, absolute
	Auto  string // postgresql.auto.conf, read after Main and all it includes
	Major int    // major version: relative paths are resolved otherwise before 15
}

// Tree is PostgreSQL's whole configuration as files hold it: the main file, what
// it includes, and postgresql.auto.conf. Edits change the files in memory; Edits
// lists what has to be written.
type Tree struct {
	roots    Roots
	files    map[string]*source
	reading  []ref // every line, in the order in which PostgreSQL reads them
	problems []Problem
	missing  error
}

// source is a file of the tree, read once however often it is included.
type source struct {
	file     *File
	was      []byte
	writable bool
}

// ref is a line of a file.
type ref struct {
	path string
	line int // index
}

// Occurrence is an active line of a file of the tree.
type Occurrence struct {
	Setting
	File string
	// Auto: it stands in postgresql.auto.conf, where ALTER SYSTEM writes.
	Auto bool
}

// Place is where it stands, as file:line.
func (o Occurrence) Place() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// Problem is something for whose sake PostgreSQL refuses the configuration as a
// whole. Line is 0 when the file itself is meant.
type Problem struct {
	File string
	Line int
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Edit is a file that has to be written.
type Edit struct {
	File     string
	Old, New []byte
	// Line is the first line that differs, from 1.
	Line     int
	Writable bool
}

// Err tells why the main file could not be read; everything else is in Problems.
func (t *Tree) Err() error { return t.missing }

// Problems lists what PostgreSQL would refuse the files for, as far as the format
// tells: names and values of parameters are not known here.
func (t *Tree) Problems() []Problem { return t.problems }

// Paths lists the files that were read, each once, in their order.
func (t *Tree) Paths() []string {
	var paths []string
	for _, r := range t.reading {
		if !slices.Contains(paths, r.path) {
			paths = append(paths, r.path)
		}
	}
	return paths
}

// Content is what was read of a file of the tree.
func (t *Tree) Content(path string) []byte { return t.files[path].was }

// Get is the occurrence that counts: the last one of all files.
func (t *Tree) Get(name string) (Occurrence, bool) {
	all := t.All(name)
	if len(all) == 0 {
		return Occurrence{}, false
	}
	return all[len(all)-1], true
}

// All lists every active occurrence of a parameter in the order of reading. A line
// of a file that is included twice counts twice.
func (t *Tree) All(name string) (all []Occurrence) {
	for _, r := range t.reading {
		if l := t.line(r); l.sets(name) {
			all = append(all, Occurrence{
				Setting: Setting{Name: fold(l.name), Value: unquote(l.value), Line: r.line + 1},
				File:    r.path, Auto: r.path == t.roots.Auto,
			})
		}
	}
	return all
}

// Writable tells whether we may replace a file of the tree.
func (t *Tree) Writable(path string) bool {
	s := t.files[path]
	return s != nil && s.writable
}

// Set gives a parameter a value by the least change: in the line that counts, else in
// one that was commented out, else in a new line at the end of the main file. What
// postgresql.auto.conf says of it is commented out, since that would win.
func (t *Tree) Set(name, value string) {
	mustBeName(name)
	if auto := t.files[t.roots.Auto]; auto != nil {
		auto.file.CommentOut(name)
	}
	if home, ok := t.Get(name); ok {
		if home.Value != value {
			t.files[home.File].file.lines[home.Line-1].value = []byte(Quote(value))
		}
		return
	}
	if t.uncomment(name, value) {
		return
	}
	if main := t.files[t.roots.Main]; main != nil {
		i := main.file.append(name)
		main.file.lines[i].value = []byte(Quote(value))
		t.reading = append(t.reading, ref{t.roots.Main, i})
	}
}

// Home is the file where Set would put a parameter, as far as that can be told without the
// value: where it stands, else one that we may write with a line of it that was commented
// out, else the main file.
func (t *Tree) Home(name string) string {
	home, stands := t.roots.Main, false
	for _, r := range t.reading {
		s := t.files[r.path]
		l := s.file.lines[r.line]
		switch {
		case r.path == t.roots.Auto:
		case l.sets(name):
			home, stands = r.path, true
		case !stands && s.writable && l.sleeping().sets(name):
			home = r.path
		}
	}
	return home
}

// CommentOut puts the parameter out of use in all files.
func (t *Tree) CommentOut(name string) {
	for _, s := range t.files {
		s.file.CommentOut(name)
	}
}

// Edits lists the files that the edits have changed, in the order of reading.
func (t *Tree) Edits() (edits []Edit) {
	for _, path := range t.Paths() {
		s := t.files[path]
		if now := s.file.Bytes(); !bytes.Equal(now, s.was) {
			edits = append(edits, Edit{File: path, Old: s.was, New: now, Line: firstDifference(s.was, now), Writable: s.writable})
		}
	}
	return edits
}

// uncomment takes a line that was commented out into use again: of several the last
// one that holds this very value, else the last one in normal form. Files that we
// may not write are left out, since a detach could not be written there later.
func (t *Tree) uncomment(name, value string) bool {
	best := ref{line: -1}
	for _, exact := range []bool{true, false} {
		for _, r := range t.reading {
			if s := t.files[r.path]; s.writable && r.path != t.roots.Auto && s.file.dormant(r.line, name, value, exact) {
				best = r
			}
		}
		if best.line >= 0 {
			t.files[best.path].file.activate(best.line, value)
			return true
		}
	}
	return false
}

func (t *Tree) line(r ref) line { return t.files[r.path].file.lines[r.line] }

// firstDifference is the number of the first line that differs.
func firstDifference(a, b []byte) int {
	n := 1
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			n++
		}
	}
	return n
}
