package pgconf

import (
	"bytes"
	"fmt"
)

// normal is what stands between name and value in lines that we write.
const normal = " = "

// Set gives a parameter a value, always in single quotes. It changes the last
// active occurrence, the one that counts, and leaves what is behind the value as it
// is; a line that says it already stays as it is written. If none is active, a line
// that was commented out is taken into use again, so that CommentOut and Set go to
// and fro in one place: the last one that holds this very value, else the last one
// that reads #name = '…'. Otherwise a line is appended.
//
// The name must be one that PostgreSQL could read; anything else is a mistake in
// the program and panics, since it could inject other settings.
func (f *File) Set(name, value string) {
	mustBeName(name)
	i := f.last(name)
	if i < 0 {
		i = f.uncomment(name, value)
	}
	if i < 0 {
		i = f.append(name)
	}
	if l := &f.lines[i]; len(l.value) == 0 || unquote(l.value) != value {
		l.value = []byte(Quote(value))
	}
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

// uncomment activates a line that is commented out and tells its index, or -1.
func (f *File) uncomment(name, value string) int {
	for _, exact := range []bool{true, false} {
		for i := len(f.lines) - 1; i >= 0; i-- {
			if f.dormant(i, name, value, exact) {
				f.activate(i, value)
				return i
			}
		}
	}
	return -1
}

// dormant tells whether a line sets the parameter but for a '#' directly before the
// name. With exact it must hold the value, however it is written; else it must have
// the normal form, since other comments that mention the name are the user's prose.
func (f *File) dormant(i int, name, value string, exact bool) bool {
	l := f.lines[i].sleeping()
	if !l.sets(name) {
		return false
	}
	if exact {
		return unquote(l.value) == value
	}
	return string(l.sep) == normal && l.value[0] == '\''
}

// activate takes the '#' away and gives the line the value.
func (f *File) activate(i int, value string) {
	l := f.lines[i].sleeping()
	if unquote(l.value) != value {
		l.value = []byte(Quote(value))
	}
	f.lines[i] = l
}

// sleeping is what a line would be without the '#' that begins it; a line that sets
// nothing if there is none, or a blank behind it.
func (l line) sleeping() line {
	lead := span(l.lead, isSpace)
	if l.active() || lead == len(l.lead) || l.lead[lead] != '#' {
		return line{}
	}
	s := parseLine(l.lead[lead+1:])
	if !s.active() || len(s.lead) > 0 {
		return line{}
	}
	s.lead = l.lead[:lead]
	return s
}

// junk lists the numbers of the lines that PostgreSQL cannot read.
func (f *File) junk() (numbers []int) {
	for i, l := range f.lines {
		if _, _, kind := next(l.lead, 0); !l.active() && kind != end {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
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
