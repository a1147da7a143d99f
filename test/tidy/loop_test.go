package tidy

import (
	"go/types"
	"slices"
	"testing"
)

func TestDecidingLoop(t *testing.T) {
	const own = `
type Agent struct {
	server Server
	hands  *act.Hands
	word   word
}

type word struct{ text string }

func (a *Agent) background(work func()) {}
`
	agent := func(loop string) string {
		return "package agent\n\nimport (\n\t\"os\"\n\t\"mcctl/pkg/act\"\n)\n" + loop + own
	}
	holds(
		t, DecidingLoop,
		one("pkg/agent/a.go", agent("func (a *Agent) loop() { os.ReadFile(a.word.text) }\n"), "pkg/agent/a.go:7: os.ReadFile"),
		one("pkg/agent/a.go", agent("func (a *Agent) loop() { a.server.Look() }\n"), "pkg/agent/a.go:7: the field server"),
		one("pkg/agent/a.go", agent("func (a *Agent) loop() { a.word.save() }\nfunc (w word) save() { os.Remove(w.text) }\n"), "pkg/agent/a.go:8: os.Remove"),
		one("pkg/agent/a.go", agent("func (a *Agent) loop() { if a.hands.Rebuilds.GivenUp() { a.hands.Stop() } }\n"), "pkg/agent/a.go:7: the field hands"),
		one("pkg/agent/a.go", agent("func (a *Agent) loop() { a.background(func() { os.Remove(a.word.text) }); a.background(a.save) }\nfunc (a *Agent) save() { a.server.Look() }\n")),
		one("pkg/agent/a.go", agent("func (a *Agent) loop() {}\nfunc (a *Agent) turn() { a.server.Look() }\n")),
		planted{map[string]string{
			"pkg/agent/a.go": agent("func (a *Agent) loop() { note(a) }\n"), "pkg/agent/b.go": "package agent\n\nfunc note(a *Agent) { a.server.Look() }\n",
		}, []string{"pkg/agent/b.go:3: the field server"}},
		one("pkg/board/a.go", "package board\nimport \"mcctl/pkg/disk\"\nvar a = disk.Measure()\n", "pkg/board/a.go:3: serves the deciding loop"),
		one("pkg/board/a.go", "package board\nimport \"mcctl/pkg/disk\"\ntype place struct{ disk.Room }\n"),
	)
}

// TestTheDecidingLoopIsFound: the rule looks at something, and what it names is there.
func TestTheDecidingLoopIsFound(t *testing.T) {
	files, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	a := agentOf(files)
	if n := len(a.loops()); n != 1 {
		t.Fatalf("package agent has %d functions named loop", n)
	}
	calls, _ := a.walk(a.bodies[a.loops()[0]])
	if len(calls) < 15 {
		t.Errorf("the loop calls only %d functions of its package: %v", len(calls), calls)
	}
	var fields []string
	for _, o := range a.info.Defs {
		if v, ok := o.(*types.Var); ok && v.IsField() {
			fields = append(fields, v.Name())
		}
	}
	for _, name := range diskHands() {
		if !slices.Contains(fields, name) {
			t.Errorf("package agent has no field %s: mend diskHands in test/tidy/loop.go", name)
		}
	}
}
