package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Counts are how often each step was interrupted, in the order in which that happened.
type Counts struct {
	Steps []string
	of    map[string]int
}

// Add counts one interruption.
func (c *Counts) Add(step string) {
	if c.of == nil {
		c.of = map[string]int{}
	}
	if c.of[step] == 0 {
		c.Steps = append(c.Steps, step)
	}
	c.of[step]++
}

// Of is how often a step was interrupted.
func (c *Counts) Of(step string) int { return c.of[step] }

// Lacks tells whether one of the steps was never interrupted.
func (c *Counts) Lacks(steps []string) bool {
	return slices.ContainsFunc(steps, func(step string) bool { return c.of[step] == 0 })
}

func (c *Counts) String() string {
	var b strings.Builder
	for _, step := range c.Steps {
		fmt.Fprintf(&b, "\n%4d  %s", c.of[step], step)
	}
	return b.String()
}

// Promised checks a column of the tables below a heading of docs/interruptions.md: every
// step was interrupted at least as often as the page says, and stands there.
func (c *Counts) Promised(t *testing.T, heading, column string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/interruptions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	said, at, rows := map[string]int{}, -1, map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
			if cells[i] == column {
				at = i
			}
		}
		rows[cells[0]] = true
		if at > 0 && at < len(cells) {
			if n, err := strconv.Atoi(cells[at]); err == nil {
				said[cells[0]] += n
			}
		}
	}
	if !found || at < 0 {
		t.Errorf("docs/interruptions.md has no column %q below %q", column, heading)
	}
	for step, n := range said {
		if c.of[step] < n {
			t.Errorf("docs/interruptions.md: %s: %s: %s: says %d, and it was interrupted %d times", heading, column, step, n, c.of[step])
		}
	}
	for step, n := range c.of {
		if !rows[step] {
			t.Errorf("docs/interruptions.md: %s: %s: does not tell of %q, which was interrupted %d times", heading, column, step, n)
		}
	}
}
