package tidy

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcctl/pkg/config"
)

// asserted is a bound that a scenario holds the pair to: in which step, and of what, in
// the words of docs/measured.jsonl.
type asserted struct {
	step, what string
	bound      time.Duration
}

var boundLine = regexp.MustCompile(`^(?:expect (gap)|wait until (.*?)) (?:(?:<|within) \S+ )?bound (\S+)$`)

// boundsOf are all that a scenario asserts.
func boundsOf(t *testing.T, scenario string) (all []asserted) {
	t.Helper()
	text, err := os.ReadFile("../hosts/scenarios/" + scenario + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	step := ""
	for raw := range strings.Lines(string(text)) {
		command, _, _ := strings.Cut(raw, "#")
		words := strings.Fields(command)
		if len(words) > 1 && words[0] == "step" {
			step = strings.Join(words[1:], " ")
		}
		if !slices.Contains(words, "bound") {
			continue
		}
		m := boundLine.FindStringSubmatch(strings.Join(words, " "))
		if m == nil {
			t.Fatalf("%s: what does %q bound?", scenario, strings.TrimSpace(command))
		}
		bound, err := time.ParseDuration(m[3])
		if err != nil {
			t.Fatalf("%s: %v", scenario, err)
		}
		all = append(all, asserted{step, m[1] + m[2], bound})
	}
	return all
}

// TestWhatWasPromised: a row whose bound is a formula of the timings has its values in
// both profiles, and its scenarios assert the one of the profile default, which they run
// with. Where no timer runs, the bound is what they assert. make docs writes the column.
func TestWhatWasPromised(t *testing.T) {
	mustSay(t, func(line string) string {
		cells, isRow := faultRow(line)
		if !isRow {
			return line
		}
		owed, isFormula := formula(t, cells[2], config.ProfileDefault)
		bounds := map[time.Duration]string{}
		for _, name := range shownBy(cells) {
			if !isScenario(name) {
				continue
			}
			asserts := boundsOf(t, name)
			if isFormula && len(asserts) == 0 {
				t.Errorf("docs/guarantees.md: %s: the scenario %s asserts no bound", cells[0], name)
			}
			for _, a := range asserts {
				bounds[a.bound] = name
				if isFormula && a.bound != owed {
					t.Errorf("docs/guarantees.md: %s: %s is %v, and the scenario %s asserts %v", cells[0], cells[2], owed, name, a.bound)
				}
			}
		}
		switch {
		case isFormula:
			tight, _ := formula(t, cells[2], config.ProfileTight)
			cells[3] = inSeconds(owed) + "; " + inSeconds(tight)
		case len(bounds) > 1:
			t.Errorf("docs/guarantees.md: %s: its scenarios assert different bounds: %v", cells[0], bounds)
		default:
			for bound := range bounds {
				cells[3] = inSeconds(bound)
			}
		}
		return row(cells)
	})
}

func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}

var term = regexp.MustCompile("^(?:(?:([0-9]+) × )?`([a-z_]+)`|([0-9]+) s)$")

// formula is what a sum of timings and seconds comes to in a profile. A mark of a note may
// follow it.
func formula(t *testing.T, cell, profile string) (sum time.Duration, isFormula bool) {
	t.Helper()
	for part := range strings.SplitSeq(strings.TrimRight(cell, " ¹²³⁴⁵⁶⁷⁸⁹"), " + ") {
		m := term.FindStringSubmatch(part)
		if m == nil {
			return 0, false
		}
		number := func(s string) time.Duration {
			n, _ := strconv.Atoi(s)
			return time.Duration(n)
		}
		if m[2] == "" {
			sum += number(m[3]) * time.Second
			continue
		}
		sum += max(1, number(m[1])) * timing(t, m[2], profile)
	}
	return sum, true
}

// timing is the value of a key of [timings].
func timing(t *testing.T, key, profile string) time.Duration {
	t.Helper()
	timings, _ := config.Profile(profile)
	v := reflect.ValueOf(timings)
	for i := range v.NumField() {
		if d, ok := v.Field(i).Interface().(config.Duration); ok && v.Type().Field(i).Tag.Get("toml") == key {
			return d.Duration
		}
	}
	t.Errorf("docs/guarantees.md: there is no timing %s", key)
	return 0
}
