package tidy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcctl/test/made"
)

const guarantees = "../../docs/guarantees.md"

// faultRow finds the rows of the tables of faults; the cells are those between the bars.
func faultRow(line string) ([]string, bool) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, len(cells) == 7 && cells[0] != "fault" && !strings.HasPrefix(cells[0], "---")
}

// shownBy are the tests and scenarios in the last cell of a row.
func shownBy(cells []string) (names []string) {
	for _, m := range regexp.MustCompile("`([A-Za-z-]+)`").FindAllStringSubmatch(cells[6], -1) {
		names = append(names, m[1])
	}
	return names
}

// measurement is a line of docs/measured.jsonl, as test/hosts writes it. The bound in it is
// the one of that day; what is promised now stands in the scenario.
type measurement struct {
	Scenario, Step, What string
	Seconds, Load        float64
	Failed               bool
}

// starved is the load above which nothing that was measured counts: on two cores the
// clients themselves get no time then.
const starved = 80

// measurements are by scenario, of those that passed. Where a scenario asserts bounds, those
// were measured; otherwise it is what came of the first step.
func measurements(t *testing.T) (by map[string][]float64, loads []float64) {
	t.Helper()
	by = map[string][]float64{}
	for _, m := range measured(t) {
		loads = append(loads, m.Load)
		if m.counts(t) {
			by[m.Scenario] = append(by[m.Scenario], m.Seconds)
		}
	}
	return by, loads
}

// measured is what docs/measured.jsonl holds and the machine allows to be counted.
func measured(t *testing.T) (all []measurement) {
	t.Helper()
	text, err := os.ReadFile("../../docs/measured.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var m measurement
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("docs/measured.jsonl: %v", err)
		}
		if m.Load <= starved && !m.Failed {
			all = append(all, m)
		}
	}
	return all
}

func (m measurement) counts(t *testing.T) bool {
	t.Helper()
	first, bounds := firstStep(t, m.Scenario), boundsOf(t, m.Scenario)
	if len(bounds) == 0 {
		return m.Step == first
	}
	return slices.ContainsFunc(bounds, func(a asserted) bool { return a.step == m.Step && a.what == m.What })
}

func firstStep(t *testing.T, scenario string) string {
	t.Helper()
	text, err := os.ReadFile("../hosts/scenarios/" + scenario + ".txt")
	if err != nil {
		t.Fatalf("docs/measured.jsonl has a scenario that is no more: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "\nstep ")
	step, _, _ := strings.Cut(rest, "\n")
	return strings.Join(strings.Fields(step), " ")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// TestWhatWasMeasured: the column of real hosts, and the line above the tables, say what
// docs/measured.jsonl holds of the scenarios that the row names. make docs writes them.
func TestWhatWasMeasured(t *testing.T) {
	by, loads := measurements(t)
	mustSay(t, func(line string) string {
		cells, isRow := faultRow(line)
		switch {
		case isRow:
			cells[5] = measuredCell(t, by, shownBy(cells))
			return row(cells)
		case strings.HasPrefix(line, "The load of the machine was "):
			return fmt.Sprintf("The load of the machine was %.0f (median) and at most %.0f, over %d measurements.\n", median(loads), slices.Max(loads), len(loads))
		default:
			return line
		}
	})
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// overrun is how far the median of a scenario may exceed its bound: what comes on top of it
// is a question to the keeper, and a reload or a promotion.
const overrun = 1.25

// TestNoScenarioIsLateAsARule: several scenarios share a row and its median, in which one
// that is late every time would not show. A bound that no timer sets is short, and
// overrun by as little as a few tenths.
func TestNoScenarioIsLateAsARule(t *testing.T) {
	type bounded struct{ scenario, step, what string }
	took := map[bounded][]float64{}
	for _, m := range measured(t) {
		of := bounded{m.Scenario, m.Step, m.What}
		took[of] = append(took[of], m.Seconds)
	}
	for of, seconds := range took {
		for _, a := range boundsOf(t, of.scenario) {
			if most := overrun*a.bound.Seconds() + 0.3; a.step == of.step && a.what == of.what && median(seconds) > most {
				t.Errorf("%s: %s: %.2f s as a rule, and promised was %s: mend it, or promise what is so", of.scenario, of.step, median(seconds), a.bound)
			}
		}
	}
}

// mustSay compares docs/guarantees.md with what of makes of its lines, or
// writes it so.
func mustSay(t *testing.T, of func(line string) string) {
	t.Helper()
	page, err := os.ReadFile(guarantees)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(string(page)) {
		want.WriteString(of(line))
	}
	made.Whole(t, guarantees, want.String())
}

func measuredCell(t *testing.T, by map[string][]float64, names []string) string {
	t.Helper()
	var values []float64
	for _, name := range names {
		if !isScenario(name) {
			continue
		}
		if len(by[name]) == 0 {
			t.Errorf("docs/measured.jsonl has nothing of %s: play it with make hosts, and add build/hosts/measured.jsonl", name)
		}
		values = append(values, by[name]...)
	}
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f s (%.2f s, %d)", median(values), slices.Max(values), len(values))
}

func isScenario(name string) bool {
	_, err := os.Stat("../hosts/scenarios/" + name + ".txt")
	return err == nil
}

// TestEveryScenarioHasARow: what is played is promised.
func TestEveryScenarioHasARow(t *testing.T) {
	page, err := os.ReadFile(guarantees)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../hosts/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var shown []string
	for line := range strings.Lines(string(page)) {
		if cells, isRow := faultRow(line); isRow {
			shown = append(shown, shownBy(cells)...)
		}
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txt"); !slices.Contains(shown, name) {
			t.Errorf("no row of docs/guarantees.md is shown by the scenario %s", name)
		}
	}
}
