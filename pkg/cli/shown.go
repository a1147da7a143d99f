package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// people reads what is written to a terminal, or to a file that is shown on one later.
// Much of it is foreign: queries, names and messages that any client of PostgreSQL chose.
type people struct{ io.Writer }

// forPeople is w, on which nothing that is printed steers a terminal. JSON stays what it
// is: inside its strings alone are there such characters, and \u stands for them there.
func forPeople(w io.Writer) io.Writer { return people{itself(w)} }

// forPeople is the same, with outputs that people read.
func (env *Env) forPeople() *Env {
	shown := *env
	shown.Stdout, shown.Stderr = forPeople(env.Stdout), forPeople(env.Stderr)
	return &shown
}

// itself is the writer below, for what mcctl wants of a terminal, and for other programs.
func itself(w io.Writer) io.Writer {
	if p, ok := w.(people); ok {
		return p.Writer
	}
	return w
}

func (p people) Write(b []byte) (int, error) {
	if !bytes.ContainsFunc(b, steers) {
		return p.Writer.Write(b)
	}
	if _, err := io.WriteString(p.Writer, escape(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// steers reports a character that does something to a terminal but begin a line or a
// column, or that shows others in another order than they are in.
func steers(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

func escape(text string) string {
	var b strings.Builder
	for {
		at := strings.IndexFunc(text, steers)
		if at < 0 {
			return b.String() + text
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		form := `%s\u%04x`
		if r < ' ' { // JSON has none
			form = `%s\x%02x`
		}
		fmt.Fprintf(&b, form, text[:at], r)
		text = text[at+size:]
	}
}

// inCell is text that stays in its cell of a table, and in its line.
func inCell(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(escape(text))
}
