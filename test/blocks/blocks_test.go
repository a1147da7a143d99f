package blocks

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestBlocks(t *testing.T) {
	text := "# T\n\n```sh\na\n\n    b\n```\n## S\n\n1. x\n\n   ```toml\n   c\n     d\n   ```\n\n2. y\n    goes on\n\n       e\n       f\n\n    g\n```\nh\n```\n"
	want := []Block{
		{Line: 3, Language: "sh", Lines: []string{"a", "", "    b"}},
		{Line: 12, Section: "S", Language: "toml", Lines: []string{"c", "  d"}},
		{Line: 20, Section: "S", Indented: true, Lines: []string{"e", "f"}},
		{Line: 23, Section: "S", Indented: true, Lines: []string{"g"}},
		{Line: 24, Section: "S", Lines: []string{"h"}},
	}
	got, err := Of("p", text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for text, want := range map[string]string{"x\n  ```sh\ny\n": "p:2: the block has no end", "```sh\n```\n": "p:1: the block is empty"} {
		if _, err := Of("p", text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// No fence of any page is overlooked.
func TestEveryFenceIsFound(t *testing.T) {
	names, err := Documents("../..")
	if err != nil || len(names) < 30 {
		t.Fatalf("found %v, %v", names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Of(name, string(text))
		if err != nil {
			t.Error(err)
		}
		fences, found := 0, 0
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fences++
			}
		}
		for _, b := range got {
			if !b.Indented {
				found += 2
			}
		}
		if found != fences {
			t.Errorf("%s has %d lines that begin with a fence, and %d of them belong to blocks", name, fences, found)
		}
	}
}
