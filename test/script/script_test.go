// Package script shows how the command behaves when something is wrong: a page of
// testdata for each kind of bad input, with the message, the exit status and what
// stays as it was on disk. The pages run the real program on real PostgreSQL. What
// the pair does in a fault is test/pair; this is about what people are told.
package script

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// atOnce is how many pages run side by side. They mostly wait, so it may be more than
// there are processors.
const atOnce = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestPages(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Fatal("PostgreSQL does not run as root: use make test")
	}
	for _, name := range []string{"MCCTL", "PG_BIN"} {
		if os.Getenv(name) == "" {
			t.Fatalf("%s is not set: use make test", name)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Setup: setup, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"example": example,
			"lab":     labCommand,
			"cluster": cluster,
			"exits":   exits,
			"until":   until, "tells": tells, "let": let,
			"sql": sql, "pgstop": pgstop,
			"edit":     edit,
			"remember": remember, "unchanged": unchanged,
			"listen":       listen,
			"certificates": certificates,
			"everyhelp":    everyHelp,
			"reversion":    reversion,
		},
	})
}

// page is what a running page owns beside its work directory.
type page struct {
	before map[string]string // what was remembered, by path
	paths  []string
}

type pageKey struct{}

func setup(env *testscript.Env) error {
	env.Values[pageKey{}] = &page{}
	env.Setenv("PG_BIN", os.Getenv("PG_BIN"))
	env.Setenv("MCCTL", os.Getenv("MCCTL"))
	env.Setenv("HOME", os.Getenv("HOME"))
	env.Setenv("LC_ALL", "C")
	return nil
}

func pageOf(ts *testscript.TestScript) *page { return ts.Value(pageKey{}).(*page) }
