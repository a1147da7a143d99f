package tidy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryFaultHasATest: in the tables of faults of docs/guarantees.md each row names
// tests or scenarios, in its last cell, and those are there.
func TestEveryFaultHasATest(t *testing.T) {
	page, err := os.ReadFile(guarantees)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Faults and bounds\n")
	code, rows := testCode(t), 0
	for line := range strings.Lines(section) {
		cells, isRow := faultRow(line)
		if !isRow {
			continue
		}
		rows++
		names := shownBy(cells)
		if len(names) == 0 {
			t.Errorf("docs/guarantees.md: nothing shows what becomes of: %s", cells[0])
		}
		for _, name := range names {
			if !isScenario(name) && !strings.Contains(code, "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("docs/guarantees.md names %s, which is neither a test nor a scenario", name)
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
