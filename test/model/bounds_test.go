package model

import (
	"fmt"
	"strings"
	"testing"

	"mcctl/test/made"
)

// TestDocsBounds keeps the tables of bounds in docs/model.md what is tried. make docs
// writes them.
func TestDocsBounds(t *testing.T) {
	model := read(t, "pair.pml")
	var text strings.Builder
	fmt.Fprintf(&text, "In all of them there are %d servers, each with a line to its keeper that loses questions and answers (%d in all), and at most term %d.\n\n",
		strings.Count(model, "run server("), strings.Count(model, "run line("), terms)
	heading := "| arbiter | commits | changes of the record | processes killed and answers lost | losses of the records | fencing commands | moves | by |\n" + strings.Repeat("| --- ", 9) + "|\n"
	fmt.Fprint(&text, "| everything holds: ", heading)
	for _, c := range checked {
		fmt.Fprintf(&text, "| %s %s\n", c.name, c.b.cells())
	}
	fmt.Fprint(&text, "\n| a loss is found without the rule: ", heading)
	for _, v := range variants {
		fmt.Fprintf(&text, "| `%s` %s\n", v.name, v.b.cells())
	}
	made.Part(t, page, "bounds", text.String())
}

// cells are those of a table behind the name.
func (b bounds) cells() string {
	kinds := map[int]string{witness: "witness", none: "none", command: "command"}
	to, by := "", "`make test`"
	if b.moves > 0 {
		to = " to " + kinds[b.to]
	}
	if b.wide {
		by = "`make model`"
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d%s | %s |", kinds[b.kind], b.commits, b.changes, b.faults, b.loses, b.fences, b.moves, to, by)
}
