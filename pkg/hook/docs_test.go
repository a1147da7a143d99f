package hook

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The examples of docs/commands.md are at least shell, and there is one of each kind.
func TestExamplesOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```sh\n")[1:]
	if len(blocks) != len(Kinds()) {
		t.Errorf("%d examples for %d kinds", len(blocks), len(Kinds()))
	}
	for _, block := range blocks {
		script, _, closed := strings.Cut(block, "```")
		check := exec.Command("sh", "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil || !closed || !strings.HasPrefix(script, "#!/bin/sh\n") {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
	for _, kind := range Kinds() {
		if !strings.Contains(string(text), "**"+string(kind)+"**: ") {
			t.Errorf("no example of %s", kind)
		}
	}
}
