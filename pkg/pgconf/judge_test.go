package pgconf

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// judged is a parameter that takes any text and passes it on unchanged.
const judged = "log_line_prefix"

// TestPostgresReadsAlike lets PostgreSQL itself read random files: it must find the
// value that we find, refuse the files that have a line we cannot read, and read
// back what we wrote.
func TestPostgresReadsAlike(t *testing.T) {
	ask := judge(t)
	r := rand.New(rand.NewPCG(3, 4))
	var valid, refused int
	for range 200 {
		text := []byte(randomSettings(r))
		f := Parse(text)
		got, err := ask(text)
		if readable := allReadable(f); readable != (err == nil) {
			t.Fatalf("%q: readable for us %v, for PostgreSQL: %v", text, readable, err)
		}
		if err != nil {
			refused++
			continue
		}
		valid++
		want, ok := f.Get(judged)
		if !ok {
			want = "%m [%p] " // the built-in default
		}
		if got != want {
			t.Fatalf("%q: PostgreSQL reads %q, we read %q", text, got, want)
		}
		value := strings.ReplaceAll(randomText(r, 6), "\x00", "")
		f.Set(judged, value)
		if got, err := ask(f.Bytes()); err != nil || got != value {
			t.Fatalf("%q: we wrote %q, PostgreSQL reads %q, %v", f.Bytes(), value, got, err)
		}
	}
	t.Logf("%d valid files, %d refused ones", valid, refused)
	if valid < 40 || refused < 20 {
		t.Errorf("too few of a kind to judge by: %d valid files, %d refused ones", valid, refused)
	}
}

// randomSettings makes files that are valid rather often: PostgreSQL refuses unknown
// parameters too, so only known ones are set.
func randomSettings(r *rand.Rand) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var b strings.Builder
	for range 1 + r.IntN(6) {
		switch r.IntN(8) {
		case 0:
			b.WriteString("#" + strings.ReplaceAll(randomText(r, 6), "\n", ""))
		case 1:
			b.WriteString(pick("", " ", "\t", "\r", "my.name = 5", "x.y'1'", "# log_line_prefix = 'no'"))
		case 2:
			if r.IntN(2) == 0 {
				b.WriteString(judged + " = " + pick("1.5MB", "a.b", "1e5", "'a", "'a''", "'a' b", "= 1", "", "a=b", "~", "0xZ 1", "'\\'"))
			}
		default:
			b.WriteString(pick("", " ", "\t") + pick(judged, judged, strings.ToUpper(judged)) + pick(" = ", " ", "=", "\t=", " =\t ") +
				pick("'a'", "on", "16MB", "0x1Fz", "+.5", "1.e-7", ".", "a-b:c/d", "a.b.c", "é", "'\xff'", "'it''s'", `'\'x'`, `'\\'`, `'\101\0629'`, `'\777'`,
					`'a\0b'`, `'\q\t'`, "'#'", "'a\rb'", "''", "'"+pick("x", "%", " ", "é", "\t")+pick("y", "''", `\\`, "#")+"'") +
				pick("", " ", "#c", " # 'c", "\t\t"))
		}
		b.WriteString(pick("\n", "\n", "\r\n"))
	}
	return strings.TrimSuffix(b.String(), pick("\n", "~"))
}

func allReadable(f *File) bool {
	for _, l := range f.lines {
		if _, _, kind := next(l.lead, 0); !l.active() && kind != end {
			return false
		}
	}
	return true
}

// judge returns a function that lets PostgreSQL read a postgresql.conf.
func judge(t *testing.T) func(conf []byte) (string, error) {
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL refuses to run as root; use: make test")
	}
	postgres := filepath.Join(cmp.Or(os.Getenv("PG_BIN"), "/usr/lib/postgresql/15/bin"), "postgres")
	if _, err := os.Stat(postgres); err != nil {
		t.Fatalf("PostgreSQL is needed to judge by: %v; install it, or say where it is with PG_BIN", err)
	}
	dir := t.TempDir()
	return func(conf []byte) (string, error) {
		if err := os.WriteFile(filepath.Join(dir, "postgresql.conf"), conf, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(postgres, "-C", judged, "-D", dir).Output()
		if failed := (&exec.ExitError{}); errors.As(err, &failed) {
			err = errors.New(string(failed.Stderr))
		}
		return string(bytes.TrimSuffix(out, []byte("\n"))), err
	}
}
