package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestMain runs the tests in namespaces of their own, as root.
func TestMain(m *testing.M) {
	switch {
	case enclosed():
		os.Exit(m.Run())
	case os.Geteuid() != 0 && os.Getenv("CI") == "":
		// A developer without root tests everything else; make test says so at its end.
		fmt.Println("test/hosts: NOT TESTED: real hosts need root; run: sudo make hosts")
		os.Exit(0)
	}
	os.Exit(enclose())
}

// TestQuickScenarios follows the pages for root, and plays the scenarios that are marked
// quick, on real hosts.
func TestQuickScenarios(t *testing.T) {
	if os.Getenv("MCCTL") == "" {
		t.Fatal("MCCTL does not name the mcctl program: use make test")
	}
	keep, err := filepath.Abs("../../build/hosts")
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(t.Context(), options{mcctl: os.Getenv("MCCTL"), arbiter: "witness", keep: keep, out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	t.Run("pages", func(t *testing.T) {
		w.out = t.Output()
		readPages(t, w)
	})
	var rows []row
	for _, file := range scenarios(t) {
		s, err := readScenario(file)
		if err != nil {
			t.Fatal(err)
		}
		if !s.quick {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			w.out = t.Output()
			got, err := w.play(t.Context(), file)
			if err != nil {
				t.Fatalf("%v\nlogs are in %s", err, filepath.Join(keep, s.name))
			}
			rows = append(rows, got...)
		})
	}
	t.Logf("\n%s", tableOf(rows))
}

func scenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	return files
}

// Every scenario can be read, also those that only make hosts plays.
func TestEveryScenarioIsUnderstood(t *testing.T) {
	for _, file := range scenarios(t) {
		if _, err := readScenario(file); err != nil {
			t.Error(err)
		}
	}
}

// Mistakes in a scenario are told with their line before anything is done.
func TestMistakesInAScenario(t *testing.T) {
	for text, want := range map[string]string{
		"step x":                                  "must be a comment",
		"# title\nfreze a":                        "x:2: \"freze a\": no such command",
		"# title\n\nboot":                         "x:3: \"boot\": want boot HOST…",
		"# title\nkill a":                         "want kill HOST PART",
		"# title\nexpect gap 1 2 3":               "want expect gap bound 2s",
		"# title\nexpect gap bound 1s < 9s":       "want expect gap bound 2s",
		"# title\nexpect gap < 9s bound 1s":       "needs a comment on the line that says why",
		"# title\nexpect gap < 9s bound 1s # why": "",
	} {
		_, err := parseScenario("x", text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What is asserted of a bound is what docs/testing.md and docs/guarantees.md say.
func TestLimitsFollowFromBounds(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"expect gap bound 2s":                  10 * time.Second, // four times that, and two seconds
		"expect gap < 20s bound 2s # why":      20 * time.Second,
		"wait until primary b bound 300ms":     3200 * time.Millisecond,
		"wait until closed a within 30s":       30 * time.Second,
		"wait until event a room bound 2s":     10 * time.Second,
		"wait until paired within 9s bound 1s": 9 * time.Second,
	} {
		command, _, _ := strings.Cut(line, "#")
		b, _, err := readBound(strings.Fields(command))
		if err != nil || b.limit() != want {
			t.Errorf("%s: the limit is %v (%v), want %v", line, b.limit(), err, want)
		}
	}
	if none := (bound{}).limit(); none != 2*time.Second {
		t.Errorf("no gap is one of less than %v, want 2 s", none)
	}
}

// docs/testing.md lists every command, and no other.
func TestDocumentedCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words() {
		if !strings.Contains(string(page), "`"+w.name) {
			t.Errorf("docs/testing.md lacks the command %q", w.name)
		}
	}
	_, example, _ := strings.Cut(string(page), "```\n")
	example, _, _ = strings.Cut(example, "```")
	if s, err := parseScenario("example", example); err != nil || len(s.lines) < 5 {
		t.Errorf("the example of docs/testing.md: %v", err)
	}
}

// The check of the registers finds what it is for.
func TestRegistersAreJudged(t *testing.T) {
	op := func(write bool, value, call, back int64) porcupine.Operation {
		return porcupine.Operation{Input: access{"k", write, value}, Output: value, Call: call, Return: back}
	}
	stale := []porcupine.Operation{op(true, 1, 0, 1), op(true, 2, 2, 3), op(false, 1, 4, 5)}
	if got := judge(stale); got != porcupine.Illegal {
		t.Errorf("a stale read is %v", got)
	}
	lost := []porcupine.Operation{op(true, 1, 0, 1), op(false, 0, 2, 3)}
	if got := judge(lost); got != porcupine.Illegal {
		t.Errorf("a lost write is %v", got)
	}
	unanswered := []porcupine.Operation{op(true, 1, 0, 1), op(true, 2, 2, math.MaxInt64), op(false, 1, 3, 4), op(false, 2, 5, 6)}
	if got := judge(unanswered); got != porcupine.Ok {
		t.Errorf("a write without an answer that was done later is %v", got)
	}
}

// A storm draws only what the language can say.
func TestFaultsOfStormsAreCommands(t *testing.T) {
	for _, f := range faults() {
		for _, name := range f.on {
			text := strings.NewReplacer("HOST", string(name), "OTHER", "b").Replace(f.line)
			lines := []string{text}
			if f.heal != "" && f.heal != "power" && f.heal != "continue" {
				lines = append(lines, healing(string(name), f.heal))
			}
			for _, text := range lines {
				if _, _, err := meaning(line{text: text, words: strings.Fields(text)}); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
