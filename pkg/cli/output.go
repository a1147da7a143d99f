package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Forms of output. Text is for people and may change; JSON is a promise.
const (
	formText     = "text"
	formJSON     = "json"
	formMarkdown = "markdown"
	formSVG      = "svg"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	allowed []string
}

func (c choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

func (c choice) Type() string { return strings.Join(c.allowed, "|") }

func (c choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("want %s", strings.Join(c.allowed, " or "))
	}
	*c.value = s
	return nil
}

// outputFlag gives a command the flag -o; the first form is the default.
func outputFlag(cmd *cobra.Command, form *string, forms ...string) {
	*form = forms[0]
	cmd.Flags().VarP(choice{form, forms}, "output", "o", "`form` of the output: "+strings.Join(forms, ", "))
}

// writeJSON is the only writer of JSON.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// table aligns columns. Write rows with row, then Flush.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// row writes one line. The last cell gets no padding, so no line ends in blanks.
func (t table) row(cells ...string) {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	line := make([]string, len(cells))
	for i, cell := range cells {
		line[i] = inCell(cell)
	}
	_, _ = fmt.Fprintln(t, strings.Join(line, "\t"))
}

// yes prints a fact that is true or false in the words given.
func yes(fact bool, whenTrue, whenFalse string) string {
	if fact {
		return whenTrue
	}
	return whenFalse
}

// dash stands for a value that is not known.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
