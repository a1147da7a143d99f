package pgconf

import (
	"bytes"
	"fmt"
	"strings"
)

// context is how many unchanged lines a diff shows around a change, as diff -u does.
const context = 3

// Diff shows what an edit changes as a unified diff, with as few lines as possible;
// empty when nothing changes. It shows values as they are, passwords too: mcctl
// itself writes none (primary_conninfo names a passfile), but the site may have.
func Diff(file string, before, after []byte) string {
	a, b := splitLines(before), splitLines(after)
	steps := script(a, b)
	var out strings.Builder
	for from := 0; ; {
		first, last := hunk(steps, from)
		if first < 0 {
			break
		}
		if out.Len() == 0 {
			fmt.Fprintf(&out, "--- %s\n+++ %s\n", file, file)
		}
		writeHunk(&out, steps, first, last)
		from = last
	}
	return out.String()
}

// Diff shows all edits of the tree, one file after the other.
func (t *Tree) Diff() string {
	var out strings.Builder
	for _, e := range t.Edits() {
		out.WriteString(Diff(e.File, e.Old, e.New))
	}
	return out.String()
}

func splitLines(text []byte) (lines []string) {
	for l := range bytes.Lines(text) {
		lines = append(lines, string(l))
	}
	return lines
}

// step is a line that is kept (' '), taken away ('-') or added ('+').
type step struct {
	kind byte
	text string
}

// script is the shortest way from a to b: by the longest common subsequence of what
// lies between the common beginning and end.
func script(a, b []string) (steps []step) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		steps = append(steps, step{' ', a[head]})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	steps = append(steps, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, l := range a[len(a)-tail:] {
		steps = append(steps, step{' ', l})
	}
	return steps
}

func middle(a, b []string) (steps []step) {
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			steps = append(steps, step{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			steps = append(steps, step{'-', a[i]})
			i++
		default:
			steps = append(steps, step{'+', b[j]})
			j++
		}
	}
	return steps
}

// hunk finds the next changes from a step on, with their context: changes so near
// each other that their contexts touch are shown together. It tells -1 at the end.
func hunk(steps []step, from int) (first, last int) {
	first = -1
	for i := from; i < len(steps) && (first < 0 || i < last+context); i++ {
		if steps[i].kind == ' ' {
			continue
		}
		if first < 0 {
			first = max(from, i-context)
		}
		last = i + context + 1
	}
	return first, min(last, len(steps))
}

func writeHunk(out *strings.Builder, steps []step, first, last int) {
	before, after := 1+count(steps[:first], '-'), 1+count(steps[:first], '+')
	were, are := count(steps[first:last], '-'), count(steps[first:last], '+')
	fmt.Fprintf(out, "@@ -%s +%s @@\n", extent(before, were), extent(after, are))
	for _, s := range steps[first:last] {
		out.WriteByte(s.kind)
		out.WriteString(s.text)
		if !strings.HasSuffix(s.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// count is how many lines of one side the steps hold: of the old text ('-') or of the
// new one ('+').
func count(steps []step, side byte) (n int) {
	for _, s := range steps {
		if s.kind == ' ' || s.kind == side {
			n++
		}
	}
	return n
}

// extent is where a hunk begins and how many lines it has. An empty one is named by
// the line before it.
func extent(first, lines int) string {
	if lines == 0 {
		first--
	}
	if lines == 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d,%d", first, lines)
}
