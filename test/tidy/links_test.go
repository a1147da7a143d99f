package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcctl/test/blocks"
)

var (
	fenced  = regexp.MustCompile("(?s)```.*?```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unsaid  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`) // what an anchor leaves out of its heading
)

// TestLinks follows every link within the documents, to the file and to the heading.
func TestLinks(t *testing.T) {
	pages := map[string]string{}
	for _, page := range documents(t) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		pages[page] = fenced.ReplaceAllString(string(b), "")
	}
	followed := 0
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			} else if anchor != "" && !hasHeading(pages[target], anchor) {
				t.Errorf("%s: link to %s: there is no such heading", page, m[1])
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links were followed", followed)
	}
}

// documents are README, CHANGELOG and all below docs.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	names, err := blocks.Documents("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		paths = append(paths, "../../"+name)
	}
	return paths
}

func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(unsaid.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
