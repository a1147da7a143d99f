package runbook

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	text := "# T\n\n```sh\n# on both servers: the variables of this page\nexport AB=/x C='D=1'  # E=2\n```\n```text\nseen\n```\n- x:\n\n  ```sh\n  # on server2, as root, now\n  mcctl stop\n  ```\n"
	page, err := Parse("p", text)
	if err != nil || len(page.Blocks) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	first, second := page.Blocks[0], page.Blocks[1]
	if !first.Variables || !slices.Equal(first.Servers, []string{"server1", "server2"}) || !slices.Equal(first.Names(), []string{"AB", "C"}) {
		t.Errorf("first: %+v, %v", first, first.Names())
	}
	if second.Variables || !slices.Equal(second.Servers, []string{"server2"}) || second.Line != 13 || !second.Root || first.Root || second.Title() != "mcctl stop" {
		t.Errorf("second: %+v", second)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"```sh\n# on server1\nx\n":          "p:1: the block has no end",
		"```\n# on server1\nx\n```\n":       `p:1: a block of language ""`,
		"\n```sh\nmcctl stop\nx\n```\n":     "p:2: a block that cannot be executed: its first line must say where",
		"```sh\n# on server3\nx\n```\n":     "its first line must say where",
		"```sh\n# on server1\n```\n":        "it has no command",
		"```toml\n# on server1\na = 1\n```": `p:1: a block of language "toml"`,
		"So:\n\n    mcctl stop\n":           `p:3: a block of language ""`,
	} {
		if _, err := Parse("p", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
