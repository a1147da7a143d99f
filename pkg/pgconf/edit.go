package pgconf

import (
	"bytes"
	"fmt"
)

// normal is what stands between name and value in lines that we write.
const normal = " = "

// Set gives a parameter a value, always in single quotes. It changes the last
// active occurrence, the one that counts, and leaves what is behind the value as it
// is. If none is active, the last line that reads #name = '…' is taken into use
// again, so that CommentOut and Set go to and fro in one place. Otherwise a line is
// appended.
//
// The name must be one that PostgreSQL could read; anything else is a mistake in
// the program and panics, since it could inject other settings.
func (f *File) Set(name, value string) {
	mustBeName(name)
	i := f.last(name)
	if i < 0 {
		i = f.uncomment(name)
	}
	if i < 0 {
		i = f.append(name)
	}
	f.lines[i].value = []byte(Quote(value))
}

// Uncomment is Set, under the name of what it does to a line that CommentOut has
// put out of use.
func (f *File) Uncomment(name, value string) { f.Set(name, value) }

// CommentOut puts a '#' directly before the name wherever the parameter is set. The
// value stays to be read: #synchronous_standby_names = 'server1'.
func (f *File) CommentOut(name string) {
	for i, l := range f.lines {
		if l.sets(name) {
			text := bytes.Join([][]byte{l.lead, []byte("#"), l.name, l.sep, l.value, l.tail}, nil)
			f.lines[i] = parseLine(text)
		}
	}
}

// uncomment activates the last line that is commented out in normal form and tells
// its index, or -1. Other comments that mention the name are the user's prose.
func (f *File) uncomment(name string) int {
	for i := len(f.lines) - 1; i >= 0; i-- {
		text := f.lines[i].lead
		lead := span(text, isSpace)
		if f.lines[i].active() || lead == len(text) || text[lead] != '#' {
			continue
		}
		l := parseLine(text[lead+1:])
		if l.sets(name) && len(l.lead) == 0 && string(l.sep) == normal && l.value[0] == '\'' {
			l.lead = text[:lead]
			f.lines[i] = l
			return i
		}
	}
	return -1
}

// append adds a line at the end, with the line ending the file has, and tells its
// index.
func (f *File) append(name string) int {
	eol := []byte("\n")
	if len(f.lines) > 0 && bytes.HasSuffix(f.lines[0].text(), []byte("\r\n")) {
		eol = []byte("\r\n")
	}
	if n := len(f.lines); n > 0 {
		if text := f.lines[n-1].text(); !bytes.HasSuffix(text, []byte("\n")) {
			f.lines[n-1] = parseLine(append(text, eol...))
		}
	}
	f.lines = append(f.lines, line{name: []byte(name), sep: []byte(normal), tail: eol})
	return len(f.lines) - 1
}

func (l line) text() []byte {
	return bytes.Join([][]byte{l.lead, l.name, l.sep, l.value, l.tail}, nil)
}

func mustBeName(s string) {
	start, stop, kind := next([]byte(s), 0)
	if start != 0 || stop != len(s) || kind != name && kind != dotted {
		panic(fmt.Sprintf("pgconf: %q is not the name of a parameter", s))
	}
}
