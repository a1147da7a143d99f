package model

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "../../docs/model.md"

// step is a row of the last table of docs/model.md.
type step struct {
	name, by string
	told     []string // what pair.pml says when it is taken
}

var quoted = regexp.MustCompile("`([^`]+)`")

func quotes(cell string) (all []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

func steps(t *testing.T) (all []step) {
	t.Helper()
	_, table, _ := strings.Cut(read(t, page), "| performed by |\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) == 5 && !strings.HasPrefix(cells[1], " ---") {
			all = append(all, step{cells[1], cells[3], quotes(cells[2])})
		}
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryStepHasARow: whatever the model may do is in docs/model.md once, and nothing
// else is.
func TestEveryStepHasARow(t *testing.T) {
	model := read(t, "pair.pml")
	var steppable []string
	for _, m := range regexp.MustCompile(`printf\("([^"]*)\\n"`).FindAllStringSubmatch(model, -1) {
		words := regexp.MustCompile(`^server%d:? `).ReplaceAllString(m[1], "")
		steppable = append(steppable, strings.ReplaceAll(words, "%d", "N"))
	}
	if printed := strings.Count(model, "printf("); len(steppable) != printed {
		t.Errorf("pair.pml prints %d times, and tells %d steps", printed, len(steppable))
	}
	for _, option := range strings.Split(model, "\n\t:: atomic {")[1:] {
		if !strings.Contains(option, "printf(") && !strings.Contains(option, "turnsPrimary(i)") { // which prints
			t.Errorf("pair.pml does not tell what is done by ::%s", option)
		}
	}
	var told []string
	for _, s := range steps(t) {
		told = append(told, s.told...)
		for _, name := range quotes(s.name) {
			if !regexp.MustCompile(`(?m)^(#define|inline|proctype) ` + name + `\b`).MatchString(model) {
				t.Errorf("docs/model.md:%s: pair.pml defines no %s", s.name, name)
			}
		}
	}
	for _, s := range steppable {
		if n := len(slices.DeleteFunc(slices.Clone(told), func(is string) bool { return is != s })); n != 1 {
			t.Errorf("docs/model.md has %d rows for the step %q", n, s)
		}
	}
	for _, s := range told {
		if !slices.Contains(steppable, s) {
			t.Errorf("docs/model.md: the model has no step %q", s)
		}
	}
}

// notOurs performs a step that no function of this program does.
var notOurs = regexp.MustCompile(`^ (a fault|a variant|PostgreSQL|the checker)\b`)

// TestEveryStepIsPerformed: each row names functions, and those are there.
func TestEveryStepIsPerformed(t *testing.T) {
	for _, s := range steps(t) {
		names := quotes(s.by)
		if len(names) == 0 && !notOurs.MatchString(s.by) {
			t.Errorf("docs/model.md:%s: nobody performs it", s.name)
		}
		for _, name := range names {
			if !isFunction(t, name) {
				t.Errorf("docs/model.md: there is no function %s", name)
			}
		}
	}
}

// isFunction looks for package.name, with any receiver, where no test is.
func isFunction(t *testing.T, full string) bool {
	t.Helper()
	dir, name, _ := strings.Cut(full, ".")
	files, err := filepath.Glob("../../pkg/" + dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	head := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + regexp.QuoteMeta(name) + `\(`)
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") && head.MatchString(read(t, f)) {
			return true
		}
	}
	return false
}
