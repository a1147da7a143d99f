package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPasswordIsReadAsLibpqReadsIt(t *testing.T) {
	for text, want := range map[string]string{
		"# a:b:c:d:comment\na:1:*:r:secret\n":                     "secret",
		"b:1:*:r:another's\na:2:*:r:another's\na:1:*:*:secret":    "secret",
		"a:1:*:s:another's\n*:*:*:*:secret\na:1:*:r:too late\n":   "secret",
		"a:1:orders:r:a database's\na:1:replication:r:secret\r\n": "secret",
		`a:1:*:r:with\:colon and \\backslash` + "\n":              `with:colon and \backslash`,
		PassfileLine("a", 1, "r", `\:\\:`):                        `\:\\:`,
		PassfileLine("a", 1, "other", "x") + "\n\nnonsense\n":     "",
		"": "",
	} {
		s := Source{Host: "a", Port: 1, User: "r", Passfile: filepath.Join(t.TempDir(), "pass")}
		ok(t, os.WriteFile(s.Passfile, []byte(text), 0o600))
		switch got, err := s.Password(); {
		case got != want:
			t.Errorf("%q: got %q, want %q", text, got, want)
		case (err == nil) != (want != ""):
			t.Errorf("%q: %v", text, err)
		case err != nil && !strings.Contains(err.Error(), s.Passfile+" has no password for r at a, port 1; write it there: a:1:*:r:PASSWORD"):
			t.Error(err)
		}
	}
	odd := Source{Host: "2001:db8::1", Port: 1, User: `a\b:c`, Passfile: filepath.Join(t.TempDir(), "pass")}
	if _, err := odd.Password(); err == nil {
		t.Error("a file that is missing has a password")
	}
	line := PassfileLine(odd.Host, odd.Port, odd.User, "x")
	if want := `2001\:db8\:\:1:1:*:a\\b\:c:x`; line != want {
		t.Errorf("got %s, want %s", line, want)
	}
	ok(t, os.WriteFile(odd.Passfile, []byte(line+"\n"), 0o600))
	if got, err := odd.Password(); got != "x" {
		t.Errorf("of an odd user: %q, %v", got, err)
	}
}
