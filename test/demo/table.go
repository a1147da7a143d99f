package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"mcctl/pkg/probe"
)

// tell prints what the clients noticed.
func tell(w io.Writer, r *probe.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "WHAT HAPPENED\tCLIENTS COULD NOT WRITE FOR\tOTHERS, WITH THEIR DEFAULTS")
	for _, scene := range scenes() {
		gap := "did not happen"
		if e, ok := r.Mark(scene.mark); ok {
			gap = fmt.Sprintf("%.3f s", time.Duration(e.Gap.Length).Seconds())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", scene.mark, gap, scene.peers)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", verdict(r))
	return err
}

func verdict(r *probe.Result) string {
	if r.Check == nil || !r.Safe() {
		return r.Verdict()
	}
	return fmt.Sprintf("%d rows acknowledged, %d acknowledged rows lost. (The others: medians of docs/benchmarks.json; make bench-peers measures them again.)",
		r.Acked, r.Check.Lost)
}
