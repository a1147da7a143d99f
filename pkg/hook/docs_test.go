package hook

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// The other server is dead when it was asked and does not reply, and for nothing else that
// keeps a ping from coming back: what follows is that a primary is fenced. What ping ends
// with is iputils': 1 without a reply, also from behind a cable of one's own that is
// pulled; 2 when a name is not resolved or there is no way to a network.
func TestArbitrationOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "**arbitration**: ")
	_, block, _ = strings.Cut(block, "```sh\n")
	script, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("no example of arbitration")
	}
	const router = "192.0.2.1"
	for _, c := range []struct {
		why           string
		router, other int // what ping ends with
		dead          bool
	}{
		{"it does not reply", 0, 1, true},
		{"it replies", 0, 0, false},
		{"its name is not resolved, or its network not reached", 0, 2, false},
		{"ping cannot be executed", 126, 126, false},
		{"there is no ping", 127, 127, false},
		{"this server's cable is pulled", 1, 1, false},
		{"this server has no network", 2, 2, false},
	} {
		bin := t.TempDir()
		if c.other != 127 {
			ping := fmt.Sprintf("#!/bin/sh\nfor last; do :; done\ncase $last in\n%s) exit %d ;;\nserver2-arbitration) exit %d ;;\nesac\nexit 3\n", router, c.router, c.other)
			if err := os.WriteFile(filepath.Join(bin, "ping"), []byte(ping), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		run := exec.Command("/bin/sh", "-c", script, "arbitration", "server1", "server2", "primarycenter")
		run.Env = []string{"PATH=" + bin}
		out, err := run.CombinedOutput()
		if (err == nil) != c.dead {
			t.Errorf("%s: dead %t: %v\n%s", c.why, err == nil, err, out)
		}
	}
}
