package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Problem is one thing that must be mended in a configuration file. Line is 0 where
// no line is to blame, such as for a key that is missing.
type Problem struct {
	Path string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
	Err  error  `json:"-"` // what the system said, if it was asked
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
}

// Problems lists what an error joins. What is no Problem becomes one without a file.
func Problems(err error) []Problem {
	switch e := err.(type) {
	case nil:
		return nil
	case Problem:
		return []Problem{e}
	case interface{ Unwrap() []error }:
		var all []Problem
		for _, one := range e.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	}
	return []Problem{{Text: err.Error()}}
}

// Unwrap gives the cause, so that a missing file can be told from a bad one.
func (p Problem) Unwrap() error { return p.Err }

// source is one file: the lines of its keys and the problems found so far.
//
// It does not let the toml library fill the structs, because that stops at the
// first wrong type, takes keys in any case and gives unknown keys no line. It walks
// the tables itself and uses the library for one value at a time.
type source struct {
	path     string
	text     string
	md       toml.MetaData
	root     reflect.Type // of what is filled
	tree     map[string]toml.Primitive
	lines    map[string]int  // by dotted key, for every key that is in the file
	told     map[string]bool // keys whose value cannot be used
	broken   bool            // unreadable, so that nothing can be said of its keys
	problems []Problem
}

// open reads and parses the file; what is wrong with it is told by err.
func open(path string) *source {
	b, err := os.ReadFile(path)
	if err != nil {
		s := parse(path, "")
		mend := "name the management directory with -M, or make one with mcctl init"
		if errors.Is(err, fs.ErrPermission) {
			mend = "run mcctl as the user who owns " + filepath.Dir(path)
		}
		s.fail(Problem{Path: path, Text: fmt.Sprintf("cannot be read: %v; %s", errors.Unwrap(err), mend), Err: err})
		return s
	}
	return parse(path, string(b))
}

// parse is open for a text that is at hand; path is for messages.
func parse(path, text string) *source {
	s := &source{path: path, text: text, lines: map[string]int{}, told: map[string]bool{}}
	var err error
	s.md, err = toml.Decode(s.text, &s.tree)
	if bad := (toml.ParseError{}); errors.As(err, &bad) {
		s.fail(Problem{Path: path, Line: bad.Position.Line, Text: bad.Message})
	} else if err != nil {
		s.fail(Problem{Path: path, Text: err.Error()})
	}
	return s
}

func (s *source) fail(p Problem) {
	s.problems, s.broken = append(s.problems, p), true
}

// err joins the problems in the order of their lines.
func (s *source) err() error {
	slices.SortStableFunc(s.problems, func(a, b Problem) int { return a.Line - b.Line })
	var all []error
	for _, p := range s.problems {
		all = append(all, p)
	}
	return errors.Join(all...)
}

func (s *source) has(key string) bool { return s.lines[key] != 0 }

// complain says that the value of a key cannot be used: the first reason is enough,
// and where a whole table cannot be used, so is that.
func (s *source) complain(key, format string, args ...any) {
	if !s.told[key] && !s.told[parent(key)] {
		s.add(key, key+": "+fmt.Sprintf(format, args...))
	}
	s.told[key] = true
}

// add tells a problem at the line of a key or, where it is not in the file, of the
// table it would be in.
func (s *source) add(key, text string) {
	if s.broken {
		return
	}
	line := s.lines[key]
	for table := parent(key); line == 0 && table != ""; table = parent(table) {
		line = s.lines[table]
	}
	s.problems = append(s.problems, Problem{Path: s.path, Line: line, Text: text})
}

// parent is the table of a dotted key, "" at the top.
func parent(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '.'))]
}

// dotted is the key of an element of a table; one that needs quotes gets them.
func dotted(table, key string) string {
	quoted := toml.Key{key}.String()
	if table == "" {
		return quoted
	}
	return table + "." + quoted
}

// require complains when the key is missing or empty.
func (s *source) require(key, value string) {
	if value == "" && s.has(key) {
		s.complain(key, "must not be empty")
	} else if value == "" {
		s.complain(key, "is missing; write it down")
	}
}
