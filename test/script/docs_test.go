package script

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/bad-input.md names every page, and only pages and tests that there are.
func TestDocsNameEveryPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/bad-input.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	there := map[string]bool{}
	for _, p := range pages {
		if there[filepath.Base(p)] = true; !strings.Contains(string(page), filepath.Base(p)) {
			t.Errorf("docs/bad-input.md does not name %s", p)
		}
	}
	for _, name := range regexp.MustCompile(`[a-z]+\.txtar`).FindAllString(string(page), -1) {
		if !there[name] {
			t.Errorf("docs/bad-input.md names %s, which is not there", name)
		}
	}
	tests, err := filepath.Glob("../pair/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, path := range tests {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code += string(b)
	}
	for _, name := range regexp.MustCompile("Test[A-Za-z]+").FindAllString(string(page), -1) {
		if !strings.Contains(code, "func "+name+"(") {
			t.Errorf("docs/bad-input.md names %s, which is not in test/pair", name)
		}
	}
}
