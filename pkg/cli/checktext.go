package cli

import (
	"fmt"
	"io"
	"strings"

	"mcctl/pkg/check"
)

// writeReport is the report for people: the findings with what to do, what could not
// be looked at, and the verdicts last, where the eye ends.
func writeReport(w io.Writer, r check.Report) error {
	for _, f := range r.Findings {
		place := string(f.Server)
		if place != "" {
			place += ": "
		}
		_, _ = fmt.Fprintf(w, "%s %s: %s%s\n", strings.ToUpper(string(f.Severity)), f.ID, place, strings.ReplaceAll(f.What, "\n", "\n    "))
		_, _ = fmt.Fprintf(w, "    why   %s\n    mend  %s\n", f.Why, f.Mend)
	}
	if len(r.Findings) > 0 {
		_, _ = fmt.Fprintln(w)
	}
	for _, n := range r.NotLooked {
		_, _ = fmt.Fprintf(w, "NOT LOOKED AT %s: %s\n    %s\n", n.Server, n.Why, strings.Join(n.IDs, ", "))
	}
	t := newTable(w)
	if len(r.NotLooked) > 0 {
		t.row()
	}
	t.row("found", fmt.Sprintf("%d errors, %d warnings, %d remarks; %d checks clean, %d not looked at",
		count(r, check.Error), count(r, check.Warning), count(r, check.Info), r.Clean, notLooked(r)))
	for _, v := range r.Verdicts {
		t.row(string(v.Ability), verdict(v))
	}
	return t.Flush()
}

func count(r check.Report, s check.Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

func notLooked(r check.Report) (n int) {
	for _, l := range r.NotLooked {
		n += len(l.IDs)
	}
	return n
}

func verdict(v check.Verdict) string {
	because := strings.Join(v.Because, ", ")
	switch v.Works {
	case check.Yes:
		return "would work now"
	case check.No:
		return "would not work now, because of " + because
	}
	return "cannot be told, without " + because
}
