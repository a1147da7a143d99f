package decide

import (
	"fmt"
	"strings"
)

// Markdown renders the table as docs/decisions.md shows it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| rule | when | action | step | because |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range Rules {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", r.ID, r.When, r.Do, r.By, r.Why)
	}
	return b.String()
}

// String names what the pattern asks for, leaving out what may be anything.
func (w When) String() string {
	var parts []string
	for _, f := range w.Fields(Facts{}) {
		if f.Wants != "" {
			parts = append(parts, f.Name+" "+f.Wants)
		}
	}
	if len(parts) == 0 {
		return "always"
	}
	return strings.Join(parts, ", ")
}
