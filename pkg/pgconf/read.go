package pgconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"mcctl/pkg/majors"
)

const (
	// maxDepth is how deep includes may be nested: CONF_FILE_MAX_DEPTH in
	// guc-file.l, 13 to 18. The main file has depth 0.
	maxDepth = 10
	// maxRead and maxLines bound how much is read, an included file each time: files
	// that include each other over and over would take for ever, in PostgreSQL too.
	maxRead  = 1000
	maxLines = 200000
)

// Read follows the files as PostgreSQL does (ParseConfigFile, ParseConfigDirectory
// and AbsoluteConfigLocation in guc-file.l, 13 to 18; observed on 13, 15, 17 and 18).
// It reads on behind every problem, as PostgreSQL does to report as many as it can.
func Read(disk Disk, roots Roots) *Tree {
	r := &reader{disk: disk, tree: &Tree{roots: roots, files: map[string]*source{}}}
	r.tree.missing = r.file(roots.Main, call{}, true)
	if err := r.file(roots.Auto, call{}, false); err != nil {
		r.problem(roots.Auto, 0, "%v", err)
	}
	return r.tree
}

type reader struct {
	disk Disk
	tree *Tree
	read int
}

// call is the include directive that leads to a file; the zero value for the roots.
type call struct {
	file  string
	line  int
	depth int // of what is included
}

func (r *reader) problem(file string, line int, format string, args ...any) {
	r.tree.problems = append(r.tree.problems, Problem{file, line, fmt.Sprintf(format, args...)})
}

// file reads one file with all it includes. The error says why it could not be read;
// with strict unset a file that cannot be opened is none, whatever the reason.
func (r *reader) file(name string, from call, strict bool) error {
	if from.depth > maxDepth {
		return fmt.Errorf("%s: maximum nesting depth of %d exceeded", name, maxDepth)
	}
	if name == from.file {
		return fmt.Errorf("%s includes itself", name)
	}
	if r.read++; r.read > maxRead || len(r.tree.reading) > maxLines {
		return fmt.Errorf("%s: more than %d files or %d lines are included; look for files that include each other", name, maxRead, maxLines)
	}
	s := r.tree.files[name]
	if s == nil {
		b, err := r.disk.ReadFile(name)
		if failed := (&fs.PathError{}); errors.As(err, &failed) && failed.Op == "open" && !strict {
			return nil
		}
		if err != nil {
			return err
		}
		s = &source{file: Parse(b), was: b, writable: r.disk.Writable(name)}
		r.tree.files[name] = s
		for _, line := range s.file.junk() {
			r.problem(name, line, "syntax error")
		}
	}
	for i, l := range s.file.lines {
		r.tree.reading = append(r.tree.reading, ref{name, i})
		if l.active() {
			r.follow(fold(l.name), unquote(l.value), call{name, i + 1, from.depth + 1})
		}
	}
	return nil
}

// follow goes where an include directive leads; other settings lead nowhere.
func (r *reader) follow(directive, value string, from call) {
	var err error
	switch directive {
	case "include", "include_if_exists":
		if empty(value) {
			err = fmt.Errorf("empty configuration file name: %q", value)
			break
		}
		err = r.file(r.resolve(value, from.file), from, directive == "include")
	case "include_dir":
		if empty(value) {
			err = fmt.Errorf("empty configuration directory name: %q", value)
			break
		}
		err = r.directory(r.resolve(value, from.file), from)
	}
	if err != nil {
		r.problem(from.file, from.line, "%s: %v", directive, err)
	}
}

// directory reads the files whose names end in .conf and do not begin with a dot, in
// the order of their bytes, and no directories.
func (r *reader) directory(dir string, from call) error {
	names, err := included(r.disk, dir)
	for _, name := range names {
		if err := r.file(name, from, true); err != nil {
			return err
		}
	}
	return err
}

// included are the files that include_dir reads, up to the first that cannot be looked at.
func included(disk Disk, dir string) (files []string, err error) {
	names, err := disk.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".conf") {
			continue
		}
		name = strings.TrimSuffix(dir, "/") + "/" + name
		isDir, err := disk.IsDir(name)
		if err != nil {
			return files, err
		}
		if !isDir {
			files = append(files, name)
		}
	}
	return files, nil
}

func (r *reader) resolve(to, from string) string { return resolve(to, from, r.tree.roots.Major) }

// resolve makes the path of an include absolute. A relative one is meant from the
// directory of the file that includes, by that file's name: a link is not followed
// first. Where ".." is not taken away textually, and in absolute paths, the kernel
// finds its way through links.
func resolve(to, from string, major int) string {
	switch {
	case path.IsAbs(to):
		return to
	case majors.Of(major).DotsAsText:
		return path.Join(path.Dir(from), to)
	}
	for strings.HasPrefix(to, "./") {
		to = to[2:]
	}
	return path.Dir(from) + "/" + to
}

// empty: PostgreSQL looks whether there is anything but white space.
func empty(name string) bool { return strings.Trim(name, " \t\r\n") == "" }
