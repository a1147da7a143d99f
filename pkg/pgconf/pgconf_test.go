package pgconf

import (
	"slices"
	"testing"
)

func TestGet(t *testing.T) {
	for _, c := range []struct {
		why, file, want string
		ok              bool
	}{
		{"plain", "port = 5432\n", "5432", true},
		{"no equal sign", "port 5432", "5432", true},
		{"no space at all", "port='5432'", "5432", true},
		{"nothing between name and string", "port'5432'", "5432", true},
		{"the last one wins", "port = 1\nport = 2\n", "2", true},
		{"not one that is commented out", "port = 1\n#port = 2\n", "1", true},
		{"case of the name", "PoRT = 1\n", "1", true},
		{"only ASCII folds: this is the Kelvin sign", "por\u212a = 1\n", "", false},
		{"comment behind", "port = 1 # = 2", "1", true},
		{"comment at once", "port = 1#2", "1", true},
		{"# in quotes", "port = '#1'", "#1", true},
		{"CRLF", "port = 1\r\n", "1", true},
		{"tabs", "\tport\t=\t1\t\n", "1", true},
		{"unit", "port = -10kB", "-10kB", true},
		{"fraction", "port = +.5e-3", "+.5e-3", true},
		{"unquoted word", "port = a-b.c:d/e", "a-b.c:d/e", true},
		{"doubled quote", "port = 'it''s'", "it's", true},
		{"backslash quote", `port = 'it\'s'`, "it's", true},
		{"escapes", `port = '\b\f\n\r\t\101\1018\x\\'`, "\b\f\n\r\tAA8x\\", true},
		{"octal that wraps around", `port = '\541'`, "a", true},
		{"octal zero ends the value", `port = 'ab\0cd'`, "ab", true},
		{"empty", "port = ''", "", true},
		{"qualified name", "my.port = 1", "", false},
		{"longer name", "port2 = 1", "", false},
		{"junk behind makes the line invalid", "port = 1\nport = 2 3\n", "1", true},
		{"two equal signs", "port == 1", "", false},
		{"no value", "port =\n", "", false},
		{"a qualified name is no value", "port = a.b", "", false},
		{"but with a dash it is a word", "port = a.b-c", "a.b-c", true},
		{"an integer has letters at its end only", "port = 1e5", "", false},
		{"hexadecimal", "port = 0x1F", "0x1F", true},
		{"a fraction has no unit", "port = 1.5MB", "", false},
		{"open quote", "port = 'a\n'", "", false},
		{"quote at the end left open", "port = 'a''\n", "", false},
		{"number for a name", "5 = port", "", false},
		{"a mere word", "port", "", false},
	} {
		if got, ok := Parse([]byte(c.file)).Get("port"); got != c.want || ok != c.ok {
			t.Errorf("%s: %q gives %q, %v; want %q, %v", c.why, c.file, got, ok, c.want, c.ok)
		}
	}
}

func TestGetQualifiedAndDirectives(t *testing.T) {
	f := Parse([]byte("include_if_exists = 'a.conf'\nMy.Name 5\ninclude 'b'\n"))
	want := []Setting{{"include_if_exists", "a.conf", 1}, {"my.name", "5", 2}, {"include", "b", 3}}
	if got := f.Settings(); !slices.Equal(got, want) {
		t.Errorf("settings %v, want %v", got, want)
	}
	if v, ok := f.Get("my.NAME"); v != "5" || !ok {
		t.Errorf("my.NAME = %q, %v", v, ok)
	}
}

func TestLine(t *testing.T) {
	f := Parse([]byte("a = 1\n\nb = 2\nA = 3\n#a = 4\n"))
	for name, want := range map[string]int{"a": 4, "B": 3, "c": 0} {
		if got := f.Line(name); got != want {
			t.Errorf("line of %s is %d, want %d", name, got, want)
		}
	}
}

func TestNothingParsesToNothing(t *testing.T) {
	if b := Parse(nil).Bytes(); len(b) != 0 {
		t.Errorf("nothing printed as %q", b)
	}
}

func TestQuote(t *testing.T) {
	for value, want := range map[string]string{
		"":           `''`,
		"server1":    `'server1'`,
		"it's":       `'it''s'`,
		`C:\x`:       `'C:\\x'`,
		"a\nb\r":     `'a\nb\r'`,
		"a\x00b":     `'a'`,
		"# ü \t\xff": "'# ü \t\xff'",
	} {
		if got := Quote(value); got != want {
			t.Errorf("Quote(%q) = %s, want %s", value, got, want)
		}
	}
}
