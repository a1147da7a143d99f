// Package pgconf reads and edits the text of postgresql.conf and
// postgresql.auto.conf, leaving every other byte as the user wrote it: comments,
// order, duplicates, line endings, lines that PostgreSQL would refuse.
//
// It reads the format as PostgreSQL's own scanner does (guc-file.l, 15), not as one
// would think: "=" may be missing, the last occurrence counts, names fold ASCII
// case only. It knows no parameters, does not follow include directives, which are
// settings like any other here, and touches no file: bytes in, bytes out. It reads
// pg_hba.conf as well (ReadHBA). Called by settings, observe, act and cli.
package pgconf

import "bytes"

// File is a configuration file taken apart into lines.
type File struct{ lines []line }

// line is one line in pieces that, joined, are the line again. The name is empty
// unless the line sets something.
type line struct {
	lead  []byte // white space; the whole line if it sets nothing
	name  []byte
	sep   []byte // white space around an optional "="
	value []byte // as written, with quotes
	tail  []byte // white space, comment, line ending
}

// Setting is an active line of a file.
type Setting struct {
	Name  string // in lower case
	Value string // unquoted
	Line  int    // from 1
}

// Parse takes the file apart. It never fails: what it cannot read is kept as it is.
func Parse(b []byte) *File {
	f := &File{}
	for text := range bytes.Lines(b) {
		f.lines = append(f.lines, parseLine(bytes.Clone(text)))
	}
	return f
}

// Bytes puts the file together again. Without edits that is what was parsed.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range f.lines {
		b.Write(l.text())
	}
	return b.Bytes()
}

// Get is the value that the file gives to a parameter, unquoted, and whether it
// gives one. The last occurrence wins, as in PostgreSQL (guc-file.l,
// ProcessConfigFileInternal, 15).
func (f *File) Get(name string) (value string, ok bool) {
	i := f.last(name)
	if i < 0 {
		return "", false
	}
	return unquote(f.lines[i].value), true
}

// Line is the number of the line, from 1, that Get reads; 0 if there is none.
func (f *File) Line(name string) int { return f.last(name) + 1 }

// Settings lists all active lines in their order, duplicates and include
// directives among them.
func (f *File) Settings() []Setting {
	var all []Setting
	for i, l := range f.lines {
		if l.active() {
			all = append(all, Setting{Name: fold(l.name), Value: unquote(l.value), Line: i + 1})
		}
	}
	return all
}

func (l line) active() bool { return len(l.name) > 0 }

// sets is asked of every line every second: the lengths spare it the folding.
func (l line) sets(name string) bool {
	return l.active() && len(l.name) == len(name) && fold(l.name) == fold([]byte(name))
}

// last is the index of the last line that sets the parameter, or -1.
func (f *File) last(name string) int {
	for i := len(f.lines) - 1; i >= 0; i-- {
		if f.lines[i].sets(name) {
			return i
		}
	}
	return -1
}

// fold makes names comparable as guc_name_compare does (guc.c, 15): it folds A-Z
// and nothing else, so that the answer does not depend on a locale.
func fold(name []byte) string {
	b := bytes.Clone(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
