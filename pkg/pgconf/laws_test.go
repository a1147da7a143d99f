package pgconf

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// names are set by the laws; they stand for any.
var names = []string{"port", "log_line_prefix", "my.name", "synchronous_standby_names", "k"}

// pieces are what random files are made of: everything the format knows, and what
// resembles it.
var pieces = []string{
	"port", "PORT", "log_line_prefix", "Log_Line_Prefix", "my.name", "My.Name", "k", "K", "\u212a", "synchronous_standby_names",
	" ", "  ", "\t", "=", " = ", "#", "##", "# ", "\n", "\n", "\r\n", "\r", "''", "'", "'a'", "'it''s'", `'\''`, `'\\'`, `\`, `'\101'`, `'\n'`,
	"5432", "-1", "+.5", "1.5e3", "0x1f", "16MB", "1.5MB", "on", "a-b", "a.b", "a:b/c", "é", "\xff", "\x00", "'#'", "include 'x'", "~",
}

func randomText(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// checkLaws holds every promise of the package against one file and one value.
func checkLaws(t *testing.T, text []byte, value string) {
	t.Helper()
	if got := Parse(text).Bytes(); !bytes.Equal(got, text) {
		t.Fatalf("%q printed as %q", text, got)
	}
	for _, n := range names {
		checkSet(t, text, n, value)
		checkCommentOut(t, text, n)
	}
}

func checkSet(t *testing.T, text []byte, name, value string) {
	t.Helper()
	f := Parse(text)
	f.Set(name, value)
	want, _, _ := strings.Cut(value, "\x00")
	if got, ok := f.Get(name); got != want || !ok {
		t.Fatalf("%q: set %s to %q, got %q, %v", text, name, want, got, ok)
	}
	wantReparsed(t, f)
	changed, added := difference(text, f.Bytes())
	if changed+added > 1 {
		t.Fatalf("%q: set %s changed %d lines and added %d: %q", text, name, changed, added, f.Bytes())
	}
	// What this package wrote, it can put out of use and back to the same bytes.
	once := f.Bytes()
	only := countActive(f, name) == 1
	f.CommentOut(name)
	f.Uncomment(name, value)
	if got := f.Bytes(); only && inNormalForm(Parse(once), name) && !bytes.Equal(got, once) {
		t.Fatalf("%q became %q by comment and uncomment", once, got)
	}
}

func checkCommentOut(t *testing.T, text []byte, name string) {
	t.Helper()
	f := Parse(text)
	active := countActive(f, name)
	f.CommentOut(name)
	if v, ok := f.Get(name); ok {
		t.Fatalf("%q: %s is still %q", text, name, v)
	}
	if grown := len(f.Bytes()) - len(text); grown != active {
		t.Fatalf("%q: %d lines of %s, but %d bytes added", text, active, name, grown)
	}
	wantReparsed(t, f)
	once := f.Bytes()
	f.CommentOut(name)
	if !bytes.Equal(f.Bytes(), once) {
		t.Fatalf("%q: commenting out twice gives %q", once, f.Bytes())
	}
}

// wantReparsed compares what the file says of itself with what a reader would find.
func wantReparsed(t *testing.T, f *File) {
	t.Helper()
	again := Parse(f.Bytes())
	for _, n := range names {
		v1, ok1 := f.Get(n)
		v2, ok2 := again.Get(n)
		if v1 != v2 || ok1 != ok2 || f.Line(n) != again.Line(n) {
			t.Fatalf("%q: %s is %q, %v in memory and %q, %v when read again", f.Bytes(), n, v1, ok1, v2, ok2)
		}
	}
}

// difference counts lines that changed and lines that were added at the end. A line
// ending given to the last line, so that another can follow, is no change.
func difference(before, after []byte) (changed, added int) {
	a, b := slices.Collect(bytes.Lines(before)), slices.Collect(bytes.Lines(after))
	for i := range a {
		rest, kept := bytes.CutPrefix(b[i], a[i])
		ending := i == len(a)-1 && len(b) > len(a) && (string(rest) == "\n" || string(rest) == "\r\n")
		if !kept || len(rest) > 0 && !ending {
			changed++
		}
	}
	return changed, len(b) - len(a)
}

func countActive(f *File, name string) (n int) {
	for _, s := range f.Settings() {
		if s.Name == name {
			n++
		}
	}
	return n
}

func inNormalForm(f *File, name string) bool {
	return string(f.lines[f.last(name)].sep) == normal
}

func TestLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		checkLaws(t, []byte(randomText(r, 40)), randomText(r, 5))
	}
}

func FuzzLaws(f *testing.F) {
	for _, seed := range []string{"", "port 1", "#port = '1'\r\nport='x'#c", "k 'a\\'", "my.name = \x00'"} {
		f.Add([]byte(seed), seed)
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) { checkLaws(t, text, value) })
}

func FuzzQuote(f *testing.F) {
	f.Add("it's \\ \n\r#")
	f.Fuzz(func(t *testing.T, value string) {
		want, _, _ := strings.Cut(value, "\x00")
		if got := unquote([]byte(Quote(value))); got != want {
			t.Errorf("%q comes back as %q", want, got)
		}
	})
}
