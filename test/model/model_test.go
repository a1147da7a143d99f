// Package model checks the protocol of docs/protocol.md with spin: pair.pml says
// what two servers, the keeper of the record and every fault between two steps
// may do, and spin tries all of it within bounds. It is no test of the code:
// docs/model.md ties each step to the function that performs it. Run by make test,
// with wider bounds by make model.
package model

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bounds limit the state space, as pair.pml explains them. What is within wide ones is
// tried by make model only.
type bounds struct {
	kind, commits, changes, faults, loses, fences, moves, to int
	wide                                                     bool
}

// leftOut says so of what make test does not try.
func (b bounds) leftOut(t *testing.T) bool {
	t.Helper()
	if !b.wide || wideBounds() {
		return false
	}
	t.Logf("%+v: only with make model", b)
	return true
}

const (
	witness = 1
	none    = 2
	command = 3
	terms   = 3 // the highest one
)

var (
	quick = bounds{kind: witness, commits: 1, changes: 4, faults: 1}
	// loses: the keeper may lose its records as well.
	loses = bounds{kind: witness, commits: 1, changes: 2, faults: 1, loses: 1}
	// fences: fencing commands may be called, by both servers. They are the crashes.
	fences = bounds{kind: command, commits: 1, changes: 2, fences: 2}
	// moves: the record is moved to another keeper.
	moves = bounds{kind: witness, commits: 1, changes: 2, moves: 1, to: witness}
)

// checked are the bounds within which everything is tried.
var checked = []struct {
	name string
	b    bounds
}{
	{"witness", quick},
	{"none", bounds{kind: none, commits: 1, changes: 4, faults: 2}},
	{"the keeper loses its records", loses},
	{"command", bounds{kind: command, commits: 1, changes: 3, faults: 1, fences: 2}},
	{"moved to another witness", bounds{kind: witness, commits: 1, changes: 2, moves: 1, to: witness, wide: true}},
	{"moved to another witness, a fault", bounds{kind: witness, commits: 1, changes: 1, faults: 1, moves: 1, to: witness}},
	{"moved to another witness, two changes, a fault", bounds{kind: witness, commits: 1, changes: 2, faults: 1, moves: 1, to: witness, wide: true}},
	{"moved to another witness, three changes", bounds{kind: witness, commits: 1, changes: 3, moves: 1, to: witness, wide: true}},
	{"moved from a witness to none, a fault", bounds{kind: witness, commits: 1, changes: 2, faults: 1, moves: 1, to: none, wide: true}},
	{"moved to another witness, three changes, a fault", bounds{kind: witness, commits: 1, changes: 3, faults: 1, moves: 1, to: witness, wide: true}},
	{"moved from a witness to none", bounds{kind: witness, commits: 1, changes: 2, moves: 1, to: none}},
	{"moved from none to a witness", bounds{kind: none, commits: 1, changes: 2, moves: 1, to: witness}},
	{"command, two faults, three fences", bounds{kind: command, commits: 1, changes: 4, faults: 2, fences: 3, wide: true}},
	{"command, two commits", bounds{kind: command, commits: 2, changes: 3, faults: 2, fences: 2, wide: true}},
	{"the keeper loses its records, three changes", bounds{kind: witness, commits: 1, changes: 3, faults: 1, loses: 1, wide: true}},
	{"the keeper loses its records, two faults", bounds{kind: witness, commits: 1, changes: 2, faults: 2, loses: 1, wide: true}},
	{"witness, two faults", bounds{kind: witness, commits: 1, changes: 3, faults: 2, wide: true}},
	{"witness, two commits, two faults", bounds{kind: witness, commits: 2, changes: 4, faults: 2, wide: true}},
}

// variants leave out one rule each, by its number in pair.pml.
var variants = []struct {
	rule int
	name string
	b    bounds
}{
	{1, "no proof of the names", quick},
	{2, "no pledge", quick},
	{3, "a lost answer is taken for a no", quick},
	{4, "failover from a record that is alone", quick},
	{5, "names taken out before the record is alone", quick},
	{6, "rejoin before the new primary is open", quick},
	{7, "no gate after a restart", quick},
	{8, "the gate opens without the standby", quick},
	{9, "a copy under way counts as the standby", quick},
	{10, "the keeper does not compare revisions", quick},
	{11, "the position is noted before the proof", quick},
	{12, "a paired primary opens from its copy", quick},
	{13, "hand-over from a record that is alone", quick},
	{14, "opens before its copy is saved", loses},
	{15, "found as paired", loses},
	{16, "copies instead of knowledge", loses},
	{17, "late yes counts", loses},
	{18, "a new reign is told before it is saved", loses},
	{19, "goes alone without word or fencing", fences},
	{20, "a restarted standby counts as told", fences},
	{21, "a restarted primary fences before it has met the standby", fences},
	{22, "takes over without fencing", fences},
	{23, "a fencing counts although the primary was met since", fences},
	{24, "tells the standby after it was fenced", fences},
	{25, "an old telling counts after the word was given", fences},
	{26, "a word counts after another telling", fences},
	{27, "a paired record is left behind open", bounds{kind: witness, commits: 1, changes: 1, moves: 1, to: witness, wide: true}},
	{28, "a closed record gives way to one server", moves},
	{29, "the new keeper finds the record from one server", moves},
	{30, "the old keeper's record is not closed", moves},
	{31, "turns to none before what it knows is saved", bounds{kind: witness, commits: 1, changes: 2, moves: 1, to: none}},
	{32, "the gate opens without the proof", quick},
}

// TestMain removes the compiled models, which several tests share, at the end.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mcctl-model-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("TMPDIR", dir)
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func TestTheProtocolHolds(t *testing.T) {
	for _, c := range checked {
		t.Run(c.name, func(t *testing.T) {
			if os.Getenv("TRAIL") != "" {
				return
			}
			if c.b.leftOut(t) {
				return
			}
			began := time.Now()
			out := search(t, c.b).run(t, 0)
			if found := violation(out); found != "" {
				t.Fatalf("%+v: %s", c.b, found)
			}
			t.Logf("%+v: %s states, all tried in %s", c.b, states(out), time.Since(began).Round(time.Second))
		})
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			if os.Getenv("TRAIL") != "" && os.Getenv("TRAIL") != v.name {
				return
			}
			if os.Getenv("TRAIL") == "" && v.b.leftOut(t) {
				return
			}
			search(t, v.b, breadthFirst()...).mustFail(t, v.rule)
		})
	}
}

// breadthFirst is asked of the checker where the first run found shall be a shortest
// one. It keeps ten times the states; to see that something goes wrong, any run will do.
func breadthFirst() []string {
	if wideBounds() {
		return []string{"-DBFS"}
	}
	return nil
}

// mustFail looks for a run that breaks a promise, and tells it if TRAIL asks.
func (c checker) mustFail(t *testing.T, rule int) {
	t.Helper()
	out := c.run(t, rule)
	found := violation(out)
	if !strings.Contains(found, "assertion violated") {
		t.Fatal("nothing goes wrong, or the model does not see it", found)
	}
	t.Logf("%s, after %s states", found, states(out))
	if os.Getenv("TRAIL") != "" {
		t.Logf("the shortest run:\n%s", c.trail(t, rule))
	}
}

// checker is the compiled model: a program that tries all runs.
type checker struct{ dir string }

// wideBounds: make model, not make test.
func wideBounds() bool { return os.Getenv("MODEL") == "wide" }

// built are the checkers so far: what is checked and the variants share them.
var built = map[string]checker{}

// search is the checker of these bounds.
func search(t *testing.T, b bounds, flags ...string) checker {
	t.Helper()
	key := fmt.Sprint(b, flags)
	if _, there := built[key]; !there {
		built[key] = build(t, b, flags...)
	}
	return built[key]
}

func build(t *testing.T, b bounds, flags ...string) checker {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: apt-get install -y --no-install-recommends spin gcc libc6-dev", tool)
		}
	}
	model, err := filepath.Abs("pair.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mcctl-model-")
	if err != nil {
		t.Fatal(err)
	}
	c := checker{dir}
	args := []string{fmt.Sprintf("-DTERMS=%d", terms)}
	for name, value := range map[string]int{"KIND": b.kind, "COMMITS": b.commits, "CHANGES": b.changes, "FAULTS": b.faults, "LOSES": b.loses, "FENCES": b.fences, "MOVES": b.moves, "TO": b.to} {
		args = append(args, fmt.Sprintf("-D%s=%d", name, value))
	}
	c.command(t, nil, "spin", append(args, "-a", model)...)
	optimize := "-O0" // small bounds are searched in less time than optimizing takes
	if wideBounds() {
		optimize = "-O2"
	}
	c.command(t, nil, "gcc", append(flags, optimize, "-w", "-DSAFETY", "-DMEMLIM=8000", "-o", "pan", "pan.c")...)
	return c
}

// run tries all runs without a rule (0: with all of them).
func (c checker) run(t *testing.T, rule int) string {
	t.Helper()
	return c.command(t, []string{fmt.Sprintf("WITHOUT=%d", rule)}, "./pan", "-E", "-m200000", "-w22")
}

// trail tells the run that was found last, in words.
func (c checker) trail(t *testing.T, rule int) string {
	t.Helper()
	out := c.command(t, []string{fmt.Sprintf("WITHOUT=%d", rule)}, "./pan", "-r")
	words, _, _ := strings.Cut(out, "spin: trail ends")
	return regexp.MustCompile(`(?m)^ *\d+:.*\n`).ReplaceAllString(words, "")
}

func (c checker) command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && name != "./pan" { // a pan that found something says so by its status
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &out)
	}
	return out.String()
}

// violation is what went wrong, or "". A search that did not end is one too.
func violation(out string) string {
	if line := regexp.MustCompile(`(?m)^pan:1: .*$`).FindString(out); line != "" {
		return line
	}
	if !strings.Contains(out, "errors: 0") || strings.Contains(out, "Search not completed") || strings.Contains(out, "max search depth too small") {
		return "the search did not end:\n" + out
	}
	return ""
}

func states(out string) string {
	found := regexp.MustCompile(`(?m)^\s*(\S+) states, stored`).FindStringSubmatch(out)
	if found == nil {
		return "?"
	}
	return found[1]
}
