// Package tidy holds the rules of this repository that a machine can check: who
// may import whom, how long a function may be, where a clock may be read. It
// looks at source text only and runs nothing of it; each rule is a function from
// parsed files to findings, so that its test can feed it a planted violation.
// make check calls it. A rule that stands in the way of better code is changed
// here, in one place, and not worked around.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// module is the import path that all of our packages begin with.
const module = "mcctl/"

// File is one parsed Go file of the repository.
type File struct {
	Path string // from the repository's root, with slashes
	Text string
	AST  *ast.File
	set  *token.FileSet
}

// Finding is a place where a rule is broken.
type Finding struct {
	Path    string
	Line    int
	Message string
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Message) }

// Rule finds what is wrong in the files of the repository.
type Rule func(files []*File) []Finding

// Parse reads one file; the error names file and line.
func Parse(name, text string) (*File, error) { return parse(token.NewFileSet(), name, text) }

// parse reads it into a set, which files that are looked at together share.
func parse(set *token.FileSet, name, text string) (*File, error) {
	parsed, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return &File{Path: name, Text: text, AST: parsed, set: set}, nil
}

// Load parses every Go file below root but those that Go itself would ignore.
func Load(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && ignored(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := load(root, name)
		if err == nil {
			files = append(files, f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load the repository: %w", err)
	}
	return files, nil
}

func load(root, name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.ToSlash(rel), string(text))
}

func ignored(dir string) bool {
	return dir == "testdata" || dir == "vendor" || dir == "bin" || dir == "build" || dir[0] == '.' || dir[0] == '_'
}

// Dir is the package's directory from the repository's root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Room is the package of ours that the file is in: "agent" for pkg/agent and all
// below it, "cmd" and "test" for those trees.
func (f *File) Room() string { return room(f.Dir()) }

func room(dir string) string {
	top, rest, _ := strings.Cut(dir, "/")
	if top != "pkg" {
		return top
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// Test tells whether the file is compiled into tests only.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Generated tells whether the file was written by a program.
func (f *File) Generated() bool { return ast.IsGenerated(f.AST) }

func (f *File) at(pos token.Pos, format string, args ...any) Finding {
	return Finding{f.Path, f.set.Position(pos).Line, fmt.Sprintf(format, args...)}
}

func (f *File) line(n int, format string, args ...any) Finding {
	return Finding{f.Path, n, fmt.Sprintf(format, args...)}
}

// packages groups files by directory, in order.
func packages(files []*File) [][]*File {
	byDir := map[string][]*File{}
	var dirs []string
	for _, f := range files {
		if byDir[f.Dir()] == nil {
			dirs = append(dirs, f.Dir())
		}
		byDir[f.Dir()] = append(byDir[f.Dir()], f)
	}
	slices.Sort(dirs)
	var out [][]*File
	for _, d := range dirs {
		out = append(out, byDir[d])
	}
	return out
}
