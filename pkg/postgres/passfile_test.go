package postgres

import (
	"fmt"
	"os"
	"os/exec"
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
		`a:1:*:r:any \character `:                                 "any character ",
		`a:1:*:r:to the next colon:not this`:                      "to the next colon",
		`\a:1:*:r:secret`:                                         "secret",
		`\*:1:*:r:a star's`:                                       "",
		`a:1:*:r:ends with a \`:                                   `ends with a \`,
		" a:1:*:r:a blank's":                                      "",
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

// What libpq reads in a passfile is what we read there: with each of these it is let in.
func TestFactPassfile(t *testing.T) {
	in := newServer(t)
	hba := filepath.Join(in.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	ok(t, err)
	ok(t, os.WriteFile(hba, append([]byte("host all copier all scram-sha-256\nhost replication copier all scram-sha-256\n"), rules...), 0o600))
	start(t, in)
	ok(t, connect(t, in).EnsureReplicationRole(within(t), "copier", "x"))
	source := sourceOf(in, "check")
	source.User, source.Passfile = "copier", filepath.Join(t.TempDir(), "pass")
	for line, want := range map[string]string{
		`%s:%d:*:copier:any \character `:                          "any character ",
		`%s:%d:*:copier:to the next colon:not this`:               "to the next colon",
		`\%s:%d:*:co\pier:secret`:                                 "secret",
		`%s:%d:*:copier:ends with a \`:                            `ends with a \`,
		"#%s:%d:*:copier:comment\n *:*:*:*:blank\n*:*:*:*:secret": "secret",
	} {
		execute(t, in, "set password_encryption = 'scram-sha-256'; alter role copier password $q$"+want+"$q$")
		text := fmt.Sprintf(line, source.Host, source.Port)
		ok(t, os.WriteFile(source.Passfile, []byte(text+"\n"), 0o600))
		if got, err := source.Password(); got != want {
			t.Errorf("%q: got %q, want %q; %v", text, got, want, err)
		}
		if _, err := source.Reach(within(t)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if out, err := exec.Command(filepath.Join(in.Bin, "psql"), "-w", "-c", "select 1", source.Conninfo()).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", text, err, out)
		}
	}
}
