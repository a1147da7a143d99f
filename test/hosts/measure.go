package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// row is what was measured once: how long clients could not write since a step began,
// or how long what was waited for took since then.
type row struct {
	scenario, step, what string
	bound
	took time.Duration
}

// measured is a line of the file that docs/guarantees.md has its column from.
type measured struct {
	Scenario string  `json:"scenario"`
	Step     string  `json:"step"`
	What     string  `json:"what"` // gap, or what was waited for
	Bound    float64 `json:"bound,omitempty"`
	Seconds  float64 `json:"seconds"`
	Load     float64 `json:"load"` // of the machine in the minute before
	Failed   bool    `json:"failed,omitempty"`
}

// keepMeasured adds the rows of a scenario that has been played, also of one that failed.
func (w *world) keepMeasured(rows []row, passed bool) error {
	if w.measured == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(w.measured), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(w.measured, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, r := range rows {
		line, err := json.Marshal(measured{r.scenario, r.step, r.what, r.owed.Seconds(), float64(r.took.Milliseconds()) / 1000, loadOfMachine(), !passed})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(f, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func loadOfMachine() (load float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(text), &load)
	return load
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// tableOf shows what was measured of each fault.
func tableOf(rows []row) string {
	lines := [][]string{{"SCENARIO", "FAULT", "WHAT", "NOTICED WITHIN", "LIMIT", "MEASURED"}}
	for _, r := range rows {
		lines = append(lines, []string{r.scenario, r.step, r.what, seconds(r.owed), seconds(r.limit()), fmt.Sprintf("%.2f s", r.took.Seconds())})
	}
	widths := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var text strings.Builder
	for _, l := range lines {
		for i, cell := range l {
			fmt.Fprintf(&text, "%-*s  ", widths[i], cell)
		}
		text.WriteString("\n")
	}
	return text.String()
}
