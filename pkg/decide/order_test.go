package decide

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcctl/test/made"
)

// TestTheOrderThatMatters keeps the pairs of rules that both match some input and
// would answer it differently, the upper of them deciding. A row that is moved or
// widened shows here in what it comes before: read the diff that make docs makes.
func TestTheOrderThatMatters(t *testing.T) {
	made.Whole(t, "testdata/order.golden", order())
}

// order tells, for each rule that decides, the later ones it keeps from acting.
func order() string {
	var b strings.Builder
	for i, rules := range everyInput().before {
		kept := ""
		for j, later := range Rules {
			if rules>>j&1 == 1 && later.Do != Rules[i].Do {
				kept += fmt.Sprint(" ", later.ID)
			}
		}
		if kept != "" {
			fmt.Fprintf(&b, "%d %s before%s\n", Rules[i].ID, Rules[i].Do, kept)
		}
	}
	return b.String()
}

// TestThePromisesAreThoseOfThePage: one list, in docs/guarantees.md and in the
// test of all inputs, and their number.
func TestThePromisesAreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Promises of the table\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/guarantees.md has no section Promises of the table")
	}
	if n := fmt.Sprintf("about %.0f million,", float64(everyInput().inputs)/1e6); !strings.Contains(section, n) {
		t.Errorf("docs/guarantees.md does not say that the combinations of facts are %s", strings.TrimSuffix(n, ","))
	}
	var written, tried []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \| .*$`).FindAllStringSubmatch(section, -1) {
		written = append(written, row[1])
	}
	for _, p := range promises {
		tried = append(tried, p.name)
	}
	heading := 2 // the table's names and the line below them
	if len(written) < heading || !slices.Equal(written[heading:], tried) {
		t.Errorf("docs/guarantees.md promises\n%q\nand the test tries\n%q", written, tried)
	}
}
