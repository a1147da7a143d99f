package conffiles

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// judged is a parameter that takes any text and passes it on unchanged.
const judged = "log_line_prefix"

// treesVariable asks for more than the usual number of random trees.
const treesVariable = "MCCTL_TREES"

// TestPostgresReadsTreesAlike lets PostgreSQL itself read random trees of files: it must
// find the value that we find, refuse the trees in which we see a problem, and read
// back what we wrote into the line that counts.
func TestPostgresReadsTreesAlike(t *testing.T) {
	trees := 120
	if more, err := strconv.Atoi(os.Getenv(treesVariable)); err == nil {
		trees = more
	}
	j := newJudge(t)
	r := rand.New(rand.NewPCG(7, uint64(trees)))
	var valid, refused, included int
	for range trees {
		j.clear()
		grown := grow(r)
		for path, text := range grown {
			j.write(path, text)
		}
		tree := j.read()
		got, err := j.ask()
		if (len(tree.Problems()) == 0) != (err == nil) {
			t.Fatalf("%q: our problems %v, PostgreSQL's: %v", grown, tree.Problems(), err)
		}
		if err != nil {
			refused++
			continue
		}
		valid++
		last, set := tree.Get(judged)
		if !set {
			last.Value = "%m [%p] " // the built-in default
		}
		if got != last.Value {
			t.Fatalf("%q: PostgreSQL reads %q, we %q at %s", grown, got, last.Value, last.Place())
		}
		if set && filepath.Base(last.File) != "postgresql.conf" {
			included++
		}
		if valid%2 == 0 { // each asks PostgreSQL three times more
			j.checkEdits(t, fmt.Sprintf("%q", grown), fmt.Sprintf("v%d'\\", r.IntN(99)))
		}
	}
	t.Logf("%d valid trees, in %d of them an included line counts; %d refused", valid, included, refused)
	if valid < trees/3 || refused < trees/20 || included < trees/10 {
		t.Error("too few of a kind to judge by")
	}
}

// checkEdits sets a value, comments it out and brings it back.
func (j *judge) checkEdits(t *testing.T, grown, value string) {
	t.Helper()
	set := func(name string) map[string]string {
		tree := j.read()
		if name == "" {
			tree.CommentOut(judged)
		} else {
			tree.Set(judged, name)
		}
		if err := Write(tree); err != nil {
			t.Fatalf("%s: %v", grown, err)
		}
		return j.all()
	}
	once := set(value)
	if got, err := j.ask(); err != nil || got != value {
		t.Fatalf("%s: we wrote %q, PostgreSQL reads %q, %v", grown, value, got, err)
	}
	set("")
	if got, err := j.ask(); err != nil || got != "%m [%p] " {
		t.Fatalf("%s: commented out, PostgreSQL reads %q, %v", grown, got, err)
	}
	twice := set(value)
	if got, err := j.ask(); err != nil || got != value {
		t.Fatalf("%s: brought back, PostgreSQL reads %q, %v", grown, got, err)
	}
	// Duplicates are put out of use for good the first time; from then on every byte
	// comes back.
	set("")
	if thrice := set(value); fmt.Sprint(thrice) != fmt.Sprint(twice) {
		t.Fatalf("%s: not the same bytes after out and in:\n%q\n%q\nfirst %q", grown, twice, thrice, once)
	}
}

// grow makes a random tree, by file name. Most are valid; some include what is
// missing, themselves, or too deep.
func grow(r *rand.Rand) map[string]string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	names := []string{
		"postgresql.conf", "a.conf", "conf.d/10.conf", "conf.d/9.conf", "conf.d/Z.conf", "conf.d/é.conf", "conf.d/.hidden.conf",
		"conf.d/x.conf~", "conf.d/deep/b.conf", "conf.d/deep/c.conf", "more/q.conf", "postgresql.auto.conf",
	}
	files := map[string]string{}
	for i, name := range names {
		if i > 0 && r.IntN(4) == 0 {
			continue
		}
		var b strings.Builder
		up := strings.Repeat("../", strings.Count(name, "/"))
		for range r.IntN(5) {
			eol := pick("\n", "\n", "\r\n")
			// What is included lies further down in the list, or nothing ends.
			later := names[min(len(names)-1, i+1+r.IntN(len(names)-i))]
			switch r.IntN(9) {
			case 0:
				b.WriteString("#" + judged + pick(" = 'out'", "='out'", " out"))
			case 1, 2:
				if i < 3 {
					b.WriteString(pick("include ", "INCLUDE=", "Include_If_Exists ", "include_if_exists = ", "include_if_exists ") + "'" + up + pick("", "", "./") + later + "'")
				}
			case 3:
				if i < 2 {
					b.WriteString(pick("include_dir ", "include_dir=") + "'" + up + pick("conf.d", "conf.d/", "./conf.d", "more", "conf.d/deep", "nowhere") + "'")
				}
			case 4:
				b.WriteString("include_if_exists '" + up + pick("none.conf", "conf.d/none", "no/where.conf") + "'")
			case 5:
				if r.IntN(12) == 0 {
					b.WriteString(pick("include_if_exists 'conf.d/../"+filepath.Base(name)+"'", "include ''", "junk = here = 1", "include_dir ' '", judged+" = 'open", "include 'postgresql.conf'"))
				}
			default:
				b.WriteString(judged + pick(" = ", "=", " ") + pick("'a'", "on", "'it''s'", fmt.Sprintf("'%s-%d'", name, r.IntN(99))) + pick("", " # c", "\t"))
			}
			b.WriteString(eol)
		}
		files[name] = strings.TrimSuffix(b.String(), pick("\n", "~"))
	}
	return files
}

// judge lets PostgreSQL read a directory.
type judge struct {
	t        *testing.T
	dir      string
	postgres string
	major    int
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL refuses to run as root; use: make test")
	}
	j := &judge{t: t, dir: t.TempDir(), postgres: filepath.Join(cmp.Or(os.Getenv("PG_BIN"), "/usr/lib/postgresql/15/bin"), "postgres")}
	out, err := exec.Command(j.postgres, "--version").Output()
	if err != nil {
		t.Fatalf("PostgreSQL is needed to judge by: %v; install it, or say where it is with PG_BIN", err)
	}
	words := strings.FieldsFunc(string(out), func(c rune) bool { return c < '0' || c > '9' })
	if j.major, err = strconv.Atoi(words[0]); err != nil {
		t.Fatal(err)
	}
	return j
}

func (j *judge) write(path, text string) {
	j.t.Helper()
	path = filepath.Join(j.dir, path)
	ok(j.t, os.MkdirAll(filepath.Dir(path), 0o700))
	ok(j.t, os.WriteFile(path, []byte(text), 0o600))
}

func (j *judge) clear() {
	j.t.Helper()
	entries, err := os.ReadDir(j.dir)
	ok(j.t, err)
	for _, e := range entries {
		ok(j.t, os.RemoveAll(filepath.Join(j.dir, e.Name())))
	}
}

func (j *judge) read() *tree {
	j.t.Helper()
	t, err := Read(Roots(filepath.Join(j.dir, "postgresql.conf"), j.dir, j.major))
	ok(j.t, err)
	return t
}

// all is the content of all files.
func (j *judge) all() map[string]string {
	files := map[string]string{}
	ok(j.t, filepath.Walk(j.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			var b []byte
			b, err = os.ReadFile(path)
			files[path] = string(b)
		}
		return err
	}))
	return files
}

func (j *judge) ask() (string, error) {
	out, err := exec.Command(j.postgres, "-C", judged, "-D", j.dir).Output()
	if failed := (&exec.ExitError{}); errors.As(err, &failed) {
		err = errors.New(string(failed.Stderr))
	}
	return string(bytes.TrimSuffix(out, []byte("\n"))), err
}
