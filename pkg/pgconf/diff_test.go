package pgconf

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDiffShowsTheEditAndLittleElse(t *testing.T) {
	before := "a = 1\nb = 2\nc = 3\nd = 4\n#synchronous_standby_names = 'server2'\t# ours\r\ne = 5\nf = 6\ng = 7\nh = 8\nlast = 9"
	f := Parse([]byte(before))
	f.Set(ssn, "server2")
	f.Set("new", "x")
	want := `--- /etc/p.conf
+++ /etc/p.conf
@@ -2,9 +2,10 @@
 b = 2
 c = 3
 d = 4
-#synchronous_standby_names = 'server2'	# ours` + "\r" + `
+synchronous_standby_names = 'server2'	# ours` + "\r" + `
 e = 5
 f = 6
 g = 7
 h = 8
-last = 9
\ No newline at end of file
+last = 9
+new = 'x'
`
	if got := Diff("/etc/p.conf", []byte(before), f.Bytes()); got != want {
		t.Errorf("diff:\n%s\nwant:\n%s", got, want)
	}
	if got := Diff("x", []byte(before), []byte(before)); got != "" {
		t.Errorf("a diff of nothing: %q", got)
	}
}

// diff -u says the same: not necessarily of the same lines, but as many, and in the
// same form.
func TestDiffAgreesWithDiff(t *testing.T) {
	if _, err := exec.LookPath("diff"); err != nil {
		t.Fatalf("diff is needed to judge by: %v; install diffutils", err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for range 100 {
		before, after := randomLines(r), randomLines(r)
		if os.WriteFile(a, before, 0o600) != nil || os.WriteFile(b, after, 0o600) != nil {
			t.Fatal("cannot write to " + a)
		}
		theirs, err := exec.Command("diff", "-d", "-u", "--label", "x", "--label", "x", a, b).Output()
		if failed := (&exec.ExitError{}); err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
			t.Fatal(err)
		}
		ours := Diff("x", before, after)
		if shape(ours) != shape(string(theirs)) {
			t.Fatalf("%q to %q:\n%s\ndiff says\n%s", before, after, ours, theirs)
		}
		if got := applied(t, string(before), ours); got != string(after) {
			t.Fatalf("%q to %q: the diff\n%s\nleads to %q", before, after, ours, got)
		}
	}
}

func randomLines(r *rand.Rand) []byte {
	text := ""
	for range r.IntN(30) {
		text += string(rune('a'+r.IntN(3)+r.IntN(2)*r.IntN(20))) + "\n"
	}
	return []byte(strings.TrimSuffix(text, []string{"\n", "~"}[r.IntN(2)]))
}

// shape is how many lines a diff takes away and adds.
func shape(diff string) [2]int {
	var n [2]int
	for l := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(l, "---"), strings.HasPrefix(l, "+++"):
		case l[0] == '-':
			n[0]++
		case l[0] == '+':
			n[1]++
		}
	}
	return n
}

// applied reads a diff as patch does, by the line numbers and what is kept.
func applied(t *testing.T, before, diff string) string {
	lines, at := strings.SplitAfter(before, "\n"), 0
	var out strings.Builder
	hunks := strings.SplitAfter(diff, "\n")
	for i, l := range hunks {
		text := l
		if i+1 < len(hunks) && strings.HasPrefix(hunks[i+1], `\`) {
			text = strings.TrimSuffix(l, "\n")
		}
		switch {
		case l == "", l[0] == '\\', strings.HasPrefix(l, "---"), strings.HasPrefix(l, "+++"):
		case l[0] == '@':
			first, count := 0, 1
			for i, s := range strings.Split(strings.Fields(l)[1][1:], ",") {
				n := 0
				for _, c := range s {
					n = n*10 + int(c-'0')
				}
				*[]*int{&first, &count}[i] = n
			}
			if count > 0 {
				first--
			}
			for ; at < first; at++ {
				out.WriteString(lines[at])
			}
		case l[0] == '+':
			out.WriteString(text[1:])
		default:
			if lines[at] != text[1:] {
				t.Fatalf("the diff keeps or removes %q at line %d, which is %q", text[1:], at+1, lines[at])
			}
			if l[0] == ' ' {
				out.WriteString(text[1:])
			}
			at++
		}
	}
	return out.String() + strings.Join(lines[at:], "")
}
