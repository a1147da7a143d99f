package decide

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestTheOrderThatMatters keeps the pairs of rules that both match some input and
// would answer it differently, the upper of them deciding. A row that is moved or
// widened shows here in what it comes before.
func TestTheOrderThatMatters(t *testing.T) {
	const path = "testdata/order.golden"
	got := order()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the order of the rules answers differently than %s says; if that is meant, run make docs and read its diff\ngot:\n%s", path, got)
	}
}

// order tells, for each rule that decides, the later ones it keeps from acting.
func order() string {
	before := make([]map[int]bool, len(Rules))
	for i := range before {
		before[i] = map[int]bool{}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for task := range Task(len(taskNames)) {
		for record := range Record(len(recordNames)) {
			wg.Go(func() {
				seen := make([][]bool, len(Rules))
				for i := range seen {
					seen[i] = make([]bool, len(Rules))
				}
				rest(Facts{Task: task, Record: record}, func(f Facts) { overruled(f, seen) })
				mu.Lock()
				defer mu.Unlock()
				for i := range seen {
					for j, is := range seen[i] {
						if is {
							before[i][j] = true
						}
					}
				}
			})
		}
	}
	wg.Wait()
	var b strings.Builder
	for i, r := range Rules {
		if len(before[i]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d %s before", r.ID, r.Do)
		for j, later := range Rules {
			if before[i][j] {
				fmt.Fprintf(&b, " %d", later.ID)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// overruled notes which later rules match the input as well and do something else.
func overruled(f Facts, seen [][]bool) {
	first := slices.IndexFunc(Rules, func(r Rule) bool { return r.When.Misses(f) == "" })
	for j := first + 1; j < len(Rules); j++ {
		if !seen[first][j] && Rules[j].Do != Rules[first].Do && Rules[j].When.Misses(f) == "" {
			seen[first][j] = true
		}
	}
}

// TestThePromisesAreThoseOfThePage: one list, in docs/guarantees.md and in the
// test of all inputs.
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
