package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryFaultHasATest: in the tables of faults of docs/guarantees.md each row names
// tests or scenarios, in its last cell, and those are there.
func TestEveryFaultHasATest(t *testing.T) {
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Faults and bounds\n")
	code, rows := testCode(t), 0
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 6 || strings.HasPrefix(line, "| fault") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		names := regexp.MustCompile("`([A-Za-z-]+)`").FindAllStringSubmatch(cells[5], -1)
		if len(names) == 0 {
			t.Errorf("docs/guarantees.md: nothing shows what becomes of: %s", strings.Trim(cells[0], "| "))
		}
		for _, name := range names {
			_, err := os.Stat("../hosts/scenarios/" + name[1] + ".txt")
			if err != nil && !strings.Contains(code, "\nfunc "+name[1]+"(t *testing.T)") {
				t.Errorf("docs/guarantees.md names %s, which is neither a test nor a scenario", name[1])
			}
		}
	}
	if rows < 30 {
		t.Errorf("docs/guarantees.md has %d rows of faults", rows)
	}
}

// testCode is the text of all tests.
func testCode(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, dir := range []string{"pkg", "test"} {
		files, err := filepath.Glob("../../" + dir + "/*/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
	}
	return text.String()
}
