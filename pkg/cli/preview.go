package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mcctl/pkg/check"
	"mcctl/pkg/postgres"
	"mcctl/pkg/wire"
)

// previewSwitch answers --dry-run.
func previewSwitch(ctx context.Context, env *Env, o *switchOptions) error {
	var p check.Preview
	if err := (control{o.Mcdir}).ask(ctx, wire.KindPreview, nil, &p); err != nil {
		return err
	}
	var err error
	if o.Output == formJSON {
		err = writeJSON(env.Stdout, previewed{p, p.Possible()})
	} else {
		err = writePreview(env.Stdout, p)
	}
	if err == nil && !p.Possible() {
		err = quietly(exitRefused)
	}
	return err
}

// previewed is the preview with its verdict.
type previewed struct {
	check.Preview
	Possible bool `json:"possible"`
}

func writePreview(w io.Writer, p check.Preview) error {
	t := newTable(w)
	t.row("CHECK", "STATE", "VALUE", "WANTED")
	for _, h := range p.Checks {
		t.row(h.ID, h.State, h.Value, h.Threshold)
	}
	t.row()
	for _, text := range p.Blockers() {
		t.row("blocker: " + text)
	}
	for _, text := range p.Warnings() {
		t.row("warning: " + text)
	}
	if p.InTheWay != nil {
		writeInTheWay(t, *p.InTheWay)
	}
	if !p.Possible() {
		t.row(fmt.Sprintf("a switch from %s to %s would be refused now", p.From, p.To))
		return t.Flush()
	}
	t.row(fmt.Sprintf("a switch from %s to %s would be made; clients could not write for about %.0f ms (%s)", p.From, p.To, p.GapMS, p.GapBasis))
	return t.Flush()
}

func writeInTheWay(t table, w postgres.InTheWay) {
	t.row(fmt.Sprintf("cut off would be %d sessions, with %d open transactions", w.Clients, w.Open))
	if len(w.Transactions) > 0 {
		t.row()
		t.row("PID", "AGE", "USER", "DATABASE", "STATE", "QUERY")
		for _, a := range w.Transactions {
			t.row(strconv.Itoa(a.PID), age(a.Age), a.User, a.Database, a.State, a.Query)
		}
	}
	if len(w.Prepared) > 0 {
		t.row()
		t.row("PREPARED", "AGE", "OWNER", "DATABASE")
		for _, p := range w.Prepared {
			t.row(p.GID, age(&p.Age), p.Owner, p.Database)
		}
	}
	if len(w.Blocked) > 0 {
		t.row()
		if w.Waiting > len(w.Blocked) {
			t.row(fmt.Sprintf("%d sessions wait for locks; these are the %d with the oldest transactions", w.Waiting, len(w.Blocked)))
		}
		for _, line := range blockingTree(w.Blocked) {
			t.row(line)
		}
	}
	t.row()
}

// age says seconds.
func age(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f s", *seconds)
}

// blockingTree shows who waits for whom: first those that hold others up and wait for
// nobody, below each the sessions that wait for it. PostgreSQL names whoever stands
// further ahead in a queue among those that hold a session up, so a session stands in
// one place only, as near to a beginning as it can: a queue is as many lines as sessions.
func blockingTree(blocked []postgres.Blocked) (lines []string) {
	roots := holders(blocked)
	placed, below := map[int]bool{}, map[int][]postgres.Blocked{}
	place(blocked, roots, placed, below)
	for _, b := range blocked {
		if !placed[b.PID] { // a deadlock that is not noticed yet
			roots, placed[b.PID] = append(roots, b.PID), true
			place(blocked, []int{b.PID}, placed, below)
		}
	}
	var show func(by int, indent string)
	show = func(by int, indent string) {
		for _, b := range below[by] {
			lines = append(lines, fmt.Sprintf("%s%d waits since %s%s: %s", indent, b.PID, age(b.Age), alsoFor(b, by), b.Query))
			show(b.PID, indent+"  ")
		}
	}
	for _, root := range roots {
		lines = append(lines, whoHolds(root)+" holds up")
		show(root, "  ")
	}
	return lines
}

// holders hold others up and wait for nobody.
func holders(blocked []postgres.Blocked) (roots []int) {
	for _, b := range blocked {
		for _, by := range b.By {
			waits := slices.ContainsFunc(blocked, func(b postgres.Blocked) bool { return b.PID == by })
			if !waits && !slices.Contains(roots, by) {
				roots = append(roots, by)
			}
		}
	}
	slices.Sort(roots)
	return roots
}

// place finds the place of each session that the roots hold up, the nearest first.
func place(blocked []postgres.Blocked, roots []int, placed map[int]bool, below map[int][]postgres.Blocked) {
	for next := slices.Clone(roots); len(next) > 0; next = next[1:] {
		for _, b := range blocked {
			if !placed[b.PID] && slices.Contains(b.By, next[0]) {
				placed[b.PID] = true
				below[next[0]] = append(below[next[0]], b)
				next = append(next, b.PID)
			}
		}
	}
}

// alsoFor names a few of the others that hold a session up.
func alsoFor(b postgres.Blocked, by int) string {
	var others []string
	for _, other := range b.By {
		if len(others) == 3 {
			others = append(others, "others")
			break
		}
		if other != by {
			others = append(others, whoHolds(other))
		}
	}
	if len(others) == 0 {
		return ""
	}
	return ", also for " + strings.Join(others, ", ")
}

func whoHolds(pid int) string {
	return yes(pid == 0, "a prepared transaction", strconv.Itoa(pid))
}
