package tidy

import (
	"fmt"
	"strings"
	"testing"

	"mcctl/test/blocks"
	"mcctl/test/made"
)

// looked says who looks after the blocks of a page (or below a folder) that begin so: a
// test that executes or reads them, and fails for a block there that it does not know; or
// why nobody does. The first line that fits holds. Output and drawings have neither.
var looked = []struct{ page, begins, by, why string }{
	{"docs/runbooks/guided-update.md", "#!/bin/sh", "", "a program of the site, which updates packages as root"},
	{"docs/runbooks/guided-update.md", "postgres ALL=(root)", "", "a line of sudo's configuration"},
	{"docs/runbooks/", "# on ", "TestEveryPageIsExecuted", ""},
	{"docs/init.md", "# on server1, as root, on Red Hat", "", "no host of the tests has PGDG's packages for Red Hat"},
	{"docs/init.md", "# on ", "TestOverARunningPrimary", ""}, // root's by TestQuickScenarios
	{"docs/systemd.md", "# on ", "TestQuickScenarios", ""},
	{"docs/commands.md", "#!/bin/sh", "", "a program of the site; `sh -n` reads it"},
	{"docs/cli.md", "", "TestDocs", ""},
	{"docs/testing.md", "# The primary's server loses its power", "TestDocumentedCommands", ""},
	{"docs/lost.md", "mcctl events show", "TestAFailoverNamesTheCommitsThatNobodyWasToldOf", ""},
	{"docs/lost.md", "restore_command", "", "recovery beside the pair takes a backup from before the fork, which is the site's"},
	{"docs/rebuild.md", "mcctl rebuild", "", "a list of options, not a procedure; the runbook has that"},
	{"docs/rebuild.md", "[policy]", "", "the site's command; the tests of `test/pair` have one of their own"},
	{"docs/mc_ctl.md", "mcctl symlinks", "TestRollingUpdateByMcCtl", ""},
	{"docs/mc_ctl.md", "mirroring status", "", ""},
	{"docs/versions.md", "make test-majors", "", "takes an hour"},
	{"docs/benchmarks.md", "make bench", "", "measures for half an hour and more"},
	{"docs/benchmarks.md", "go test", "", "measures"},
	{"docs/simulator.md", "make sim", "", "runs for minutes; `make test` runs the last line"},
	{"docs/ARCHITECTURE.md", "  watchers, links, operator", "", ""},
	{"docs/ARCHITECTURE.md", "mcctl watch-supervisor  ", "", ""},
	{"README.md", "make demo", "", "runs everything else"},
	{"README.md", "$ mcctl", "", "a session that was printed once, with its times"},
	{"README.md", "WHAT HAPPENED", "", ""},
	{"README.md", "writes       4 writers", "", ""},
}

// Every block of every document is executed or read by a test, or is told of, with a
// reason, in docs/testing.md.
func TestDocsBlocks(t *testing.T) {
	names, err := blocks.Documents("../..")
	if err != nil {
		t.Fatal(err)
	}
	code, used := testCode(t), make([]int, len(looked))
	var s strings.Builder
	s.WriteString("| page | the block that begins with | why |\n| --- | --- | --- |\n")
	for _, name := range names {
		found, err := blocks.In("../..", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range found {
			i := looksAfter(name, b)
			if i < 0 {
				t.Errorf("%s:%d: nobody looks after the block that begins with %q: have a test execute it, or say in test/tidy/blocks_test.go why none does", name, b.Line, b.Lines[0])
				continue
			}
			if used[i]++; looked[i].why != "" {
				begins, _, _ := strings.Cut(b.Lines[0], "   ") // and a remark
				row := fmt.Sprintf("| %s | `%s` | %s |\n", name, strings.ReplaceAll(begins, "|", `\|`), looked[i].why)
				if !strings.HasSuffix(s.String(), row) { // several may look alike
					s.WriteString(row)
				}
			}
		}
	}
	for i, l := range looked {
		switch {
		case used[i] == 0:
			t.Errorf("%s has no block that begins with %q", l.page, l.begins)
		case l.by != "" && !strings.Contains(code, "\nfunc "+l.by+"(t *testing.T)"):
			t.Errorf("there is no test %s", l.by)
		}
	}
	made.Part(t, "../../docs/testing.md", "blocks", s.String())
}

func looksAfter(page string, b blocks.Block) int {
	for i, l := range looked {
		if strings.HasPrefix(page, l.page) && strings.HasPrefix(b.Lines[0], l.begins) {
			return i
		}
	}
	return -1
}
