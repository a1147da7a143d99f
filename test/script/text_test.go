package script

import (
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// let runs a program and keeps what the group of REGEXP has matched of its output:
// what a page cannot know when it is written, such as a line of a file that is
// edited elsewhere, so that the texts with it can be compared word for word.
//
//	let LINE '^(\d+):' grep -n heartbeat_timout $MC1/pair.toml
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: let NAME REGEXP PROGRAM ARGS...")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	out, complaint, _ := run(ts, args[2:])
	found := want.FindAllStringSubmatch(out, -1)
	if len(found) != 1 || len(found[0]) != 2 {
		ts.Fatalf("%q is not there once, with one group:\n%s%s", args[1], out, complaint)
	}
	ts.Setenv(args[0], found[0][1])
}

// tells runs a program again and again until its output has the lines of a file of
// the page, whole and in that order; other lines may stand around them. In the file
// $NAME is the page's, and what happens to be so stands as <time>, <duration> or
// <position>:
//
//	tells promoted.txt mcctl status -M $MC2
func tells(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: tells FILE PROGRAM ARGS...")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	lines := strings.Split(chance.Replace(regexp.QuoteMeta(strings.TrimSuffix(text, "\n"))), "\n")
	await(ts, regexp.MustCompile("(?m)^"+strings.Join(lines, `$(?s:.*)^`)+"$"), text, args[1:])
}

var chance = strings.NewReplacer(
	"<time>", `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`,
	"<duration>", `[0-9.]+m?s`,
	"<position>", `[0-9A-F]+/[0-9A-F]+`,
)
