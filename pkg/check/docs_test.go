package check_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"mcctl/pkg/check"
)

var update = flag.Bool("update", false, "rewrite docs/check.md")

// TestDocs keeps docs/check.md the table that runs.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/check.md", "<!-- checks: made by make docs -->\n", "<!-- end of checks -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(b), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the markers %q and %q", path, begin, end)
	}
	want := head + begin + check.Markdown(check.Table()) + end + tail
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the table: run make docs", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
