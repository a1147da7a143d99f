package pgconf

import (
	"strings"

	"mcctl/pkg/majors"
)

// HBALine is a line of pg_hba.conf taken apart into its columns, each a list of words.
type HBALine struct {
	File    string
	Line    int
	Columns [][]HBAWord
}

// HBAWord is one word of a column.
type HBAWord struct {
	Text   string
	Quoted bool // from its first character on: then it is no keyword
}

// Is tells whether the word is that keyword.
func (w HBAWord) Is(keyword string) bool { return !w.Quoted && w.Text == keyword }

// String writes the word so that PostgreSQL reads it as it was.
func (w HBAWord) String() string {
	quoted := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	switch {
	case w.Quoted:
		return quoted(w.Text)
	case strings.ContainsAny(w.Text, " \t\r,#\""):
		return w.Text[:1] + quoted(w.Text[1:])
	}
	return w.Text
}

// ReadHBA reads pg_hba.conf as PostgreSQL does (next_token, next_field_expand and
// tokenize_auth_file in hba.c, 13 to 18): with continued lines joined, and with what
// include directives and @file lead to in their place. The error is about the file
// itself. Whatever else cannot be read is left out; PostgreSQL would refuse all of it.
func ReadHBA(disk Disk, file string, major int) ([]HBALine, error) {
	r := &hbaReader{disk: disk, major: major, can: majors.Of(major)}
	err := r.file(file, 0)
	return r.lines, err
}

type hbaReader struct {
	disk  Disk
	major int
	can   majors.Abilities
	lines []HBALine
	read  int
}

func (r *hbaReader) file(name string, depth int) error {
	if r.read++; depth > maxDepth || r.read > maxRead {
		return nil
	}
	text, err := r.disk.ReadFile(name)
	if err != nil {
		return err
	}
	rest, line := string(text), 1
	for rest != "" && len(r.lines) < maxLines {
		var joined string
		at := line
		for more := true; more && rest != ""; line++ {
			var piece string
			piece, rest, _ = strings.Cut(rest, "\n")
			piece = strings.TrimRight(piece, "\r")
			if more = r.can.HBAContinued && strings.HasSuffix(piece, `\`); more {
				piece = piece[:len(piece)-1]
			}
			joined += piece
		}
		if columns := r.columns(joined, name, depth); len(columns) > 0 && !r.include(columns, name, depth) {
			r.lines = append(r.lines, HBALine{name, at, columns})
		}
	}
	return nil
}

// include follows a line that is an include directive.
func (r *hbaReader) include(columns [][]HBAWord, from string, depth int) bool {
	if !r.can.HBAIncludes || len(columns) != 2 {
		return false
	}
	to := resolve(columns[1][0].Text, from, r.major)
	files := []string{to}
	switch columns[0][0].Text {
	case "include_dir":
		files, _ = included(r.disk, to)
	case "include", "include_if_exists":
	default:
		return false
	}
	for _, f := range files {
		_ = r.file(f, depth+1)
	}
	return true
}

func (r *hbaReader) columns(line, file string, depth int) (columns [][]HBAWord) {
	for line != "" {
		var words []HBAWord
		for more := true; more; {
			var w HBAWord
			var found bool
			if w, line, more, found = nextHBAWord(line); !found {
				break
			}
			if path, isFile := strings.CutPrefix(w.Text, "@"); isFile && path != "" && !w.Quoted {
				words = append(words, r.list(resolve(path, file, r.major), depth+1)...)
			} else {
				words = append(words, w)
			}
		}
		if len(words) > 0 {
			columns = append(columns, words)
		}
	}
	return columns
}

// list is all words of a file that a column names.
func (r *hbaReader) list(file string, depth int) (words []HBAWord) {
	in := &hbaReader{disk: r.disk, major: r.major, can: r.can, read: r.read}
	_ = in.file(file, depth)
	r.read = in.read
	for _, l := range in.lines {
		for _, c := range l.Columns {
			words = append(words, c...)
		}
	}
	return words
}

// nextHBAWord takes the next word off a line. With comma set the column goes on behind it.
func nextHBAWord(line string) (w HBAWord, rest string, comma, found bool) {
	const blank = " \t\r"
	line = strings.TrimLeft(line, blank+",")
	var text []byte
	var in, was, saw bool // inside of quotes, behind a quote that ended them, any seen
	for i := range len(line) {
		c := line[i]
		if !in && strings.IndexByte(blank+",#", c) >= 0 {
			if c != '#' { // a comment is the rest of the line
				rest = line[i:]
			}
			comma = c == ','
			break
		}
		if c != '"' || was { // two quotes inside of quotes are one
			text = append(text, c)
		}
		was = in && c == '"' && !was
		if c == '"' {
			in, saw = !in, true
			w.Quoted = w.Quoted || len(text) == 0
		}
	}
	w.Text = string(text)
	return w, rest, comma, saw || len(text) > 0
}
