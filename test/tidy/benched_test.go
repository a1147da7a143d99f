package tidy

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"
)

// benched is a value of docs/benchmarks.json, as test/bench writes it.
type benched struct {
	Subject, Profile, Event, Value string
	Median, Max                    float64
}

// TestWhatWasBenched: the column of make bench says what docs/benchmarks.json holds of
// the event that its cell names. make docs writes it.
func TestWhatWasBenched(t *testing.T) {
	text, err := os.ReadFile("../../docs/benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	var bench struct{ Values []benched }
	if err := json.Unmarshal(text, &bench); err != nil {
		t.Fatalf("docs/benchmarks.json: %v", err)
	}
	mustSay(t, func(line string) string {
		cells, isRow := faultRow(line)
		if !isRow {
			return line
		}
		cells[4] = benchedCell(t, bench.Values, cells[4])
		return row(cells)
	})
}

var benchedEvent = regexp.MustCompile("^`([a-z-]+)`(, mended)?:")

// benchedCell is the gap of an event in both profiles, or the one when it was mended.
func benchedCell(t *testing.T, values []benched, cell string) string {
	t.Helper()
	named := benchedEvent.FindStringSubmatch(cell)
	if named == nil {
		if cell != "–" {
			t.Errorf("docs/guarantees.md: no event of make bench is named by the cell %q", cell)
		}
		return cell
	}
	value := "gap_ms"
	if named[2] != "" {
		value = "mend_gap_ms"
	}
	gap := func(profile string) string {
		for _, v := range values {
			if v.Subject == "mcctl" && v.Profile == profile && v.Event == named[1] && v.Value == value {
				return seconds(v.Median, v.Max)
			}
		}
		t.Errorf("docs/benchmarks.json has no %s of %s in profile %s", value, named[1], profile)
		return "?"
	}
	return fmt.Sprintf("%s %s; %s", named[0], gap("default"), gap("tight"))
}

// seconds of what is the noise of the machine are told to the millisecond.
func seconds(median, worst float64) string {
	digits := 2
	if median < 20 {
		digits = 3
	}
	return fmt.Sprintf("%.*f s (%.*f)", digits, median/1000, digits, worst/1000)
}
